"""The containers, as far as they can be tested without an engine.

Files are parsed and held against what they promise, and each command line in them is run: as the
user, with the read-only files and without the capabilities that Compose would give it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from e2l_site.locations import PROJECT_ROOT
from tests.servers import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SECRETS = {"E2L_SECRET_KEY": "s" * 40, "E2L_DATABASE_PASSWORD": "p" * 20}
SERVERS = {"postgres", "redis"}


class RequiredVariable(Exception):
    """A variable that has to be set is not."""


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """Put in variables as the Compose specification says."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if environment.get(name):
            return environment[name]
        if operator == ":?":
            raise RequiredVariable(f"{name}: {rest}")
        return rest or ""

    return re.sub(r"\$\{([A-Z0-9_]+)(?:(:-|:\?)([^}]*))?\}", value, text)


def compose(**environment: str) -> dict[str, Any]:
    """Return the file with its variables; like Compose this reads first and puts in afterwards."""

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: filled(value) for key, value in part.items()}
        if isinstance(part, list):
            return [filled(value) for value in part]
        return interpolated(part, environment) if isinstance(part, str) else part

    return filled(yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text()))


SERVICES: dict[str, dict[str, Any]] = compose(**SECRETS)["services"]
OWN = sorted(set(SERVICES) - SERVERS)


# --- docker-compose.yml -------------------------------------------------------------------------


def test_there_is_everything_that_a_site_needs() -> None:
    assert set(SERVICES) == {"postgres", "redis", "migrate", "web", "worker", "sweeper"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_services_are_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] not in {"root", "0", "0:0"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    limits = service["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[mg]", limits["memory"])
    assert limits["pids"] > 0


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_services_that_go_on_have_a_health_check_and_start_again(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout"} <= set(service["healthcheck"])


def test_migrations_run_once_and_before_everything_that_needs_them() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in OWN:
        if name != "migrate":
            assert "migrate" not in SERVICES[name]["command"]
            assert SERVICES[name]["depends_on"] == {
                "migrate": {"condition": "service_completed_successfully"},
                "redis": {"condition": "service_healthy"},
            }


def test_references_lead_somewhere() -> None:
    config = compose(**SECRETS)
    for name, service in SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            assert other in SERVICES
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], (name, other)
        for network in service["networks"]:
            assert network in config["networks"]
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in config["volumes"]
    assert set(config["volumes"]) == SERVERS


def test_only_the_web_server_is_reached_and_from_this_machine_only() -> None:
    config = compose(**SECRETS)
    assert config["networks"]["inside"] == {"internal": True}
    for name, service in SERVICES.items():
        assert service["networks"] == (["inside", "outside"] if name == "web" else ["inside"])
        ports = service.get("ports", [])
        assert ports == (["127.0.0.1:8000:8000"] if name == "web" else [])


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_secrets_have_no_default(name: str) -> None:
    with pytest.raises(RequiredVariable, match=name):
        compose(**{**SECRETS, name: ""})
    example = dict(
        line.split("=", 1)
        for line in (PROJECT_ROOT / ".env.example").read_text().splitlines()
        if re.match("[A-Z]", line)
    )
    assert example == dict.fromkeys(SECRETS, "")


def test_every_variable_is_explained() -> None:
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", (PROJECT_ROOT / "docker-compose.yml").read_text()))
    told = (PROJECT_ROOT / ".env.example").read_text() + (PROJECT_ROOT / "README.md").read_text()
    assert {name for name in used if name not in told} == set()


def test_images_are_pinned_to_a_version() -> None:
    for name in SERVERS:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?-bookworm", SERVICES[name]["image"])
    for name in OWN:
        assert SERVICES[name]["build"] == "."


# --- Dockerfile: what hadolint looks at ---------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile in their order, each on one line."""
    text = (PROJECT_ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split(None, 1)[0], " ".join(line.split(None, 1)[1].split())) for line in joined]


def test_base_images_are_pinned_and_the_same() -> None:
    bases = [text.split()[0] for name, text in instructions() if name == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-[a-z]+", bases[0])


def test_no_instruction_is_used_that_fetches_or_hides_something() -> None:
    names = {name for name, _ in instructions()}
    assert names <= {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "CMD"}
    for name, text in instructions():
        if name == "RUN":
            assert not re.search(r"\b(sudo|curl|wget|ssh|cd)\b", text), text
        if name == "ENV":
            assert not re.search(r"SECRET|PASSWORD|TOKEN|KEY", text), text


def test_packages_of_debian_leave_nothing_behind() -> None:
    runs = [text for name, text in instructions() if name == "RUN" and "apt-get" in text]
    assert len(runs) == 2
    for text in runs:
        assert text.startswith("apt-get update && apt-get install --yes --no-install-recommends ")
        assert "&& rm -rf /var/lib/apt/lists/*" in text


def test_packages_of_python_are_the_locked_ones_and_are_not_made_anew_for_each_change() -> None:
    (install,) = [text for name, text in instructions() if "pip install" in text]
    assert "--no-cache-dir --no-deps --require-hashes --requirement requirements.txt" in install
    texts = [text for _, text in instructions()]
    assert texts.index("requirements.txt ./") < texts.index(install)
    assert texts.index(install) < texts.index("nest_build nest_build") < texts.index(". .")


def test_the_image_runs_as_nobody_of_importance_and_does_not_own_its_code() -> None:
    last_stage = instructions()[[name for name, _ in instructions()].index("FROM", 1) :]
    users = [text for name, text in last_stage if name == "USER"]
    assert users == ["10001:10001"]
    assert all("--chown" not in text for name, text in last_stage if name == "COPY")
    # After it nothing is run or copied as root.
    assert [name for name, _ in last_stage][-3:] == ["USER", "EXPOSE", "CMD"]
    assert {SERVICES[name]["user"] for name in OWN} == {users[0]}


def test_the_commands_of_image_and_compose_agree() -> None:
    (command,) = [text for name, text in instructions() if name == "CMD"]
    assert yaml.safe_load(command) == SERVICES["web"]["command"]


def test_secrets_and_what_is_built_elsewhere_stay_out_of_the_image() -> None:
    ignored = (PROJECT_ROOT / ".dockerignore").read_text().split()
    assert {".git", ".env", ".venv", "var", "nest_build/_build"} <= set(ignored)
    assert ".env" in (PROJECT_ROOT / ".gitignore").read_text().split()


# --- the command lines --------------------------------------------------------------------------

#: In a mount namespace of its own: a private /tmp and /var/lib/e2l, read-only code, and a way to
#: Python's installation where it lies in root's home, into which the container's user may not look.
CONFINE = """
set -e
scratch=$1 project=$2 python=$3
shift 3
mount --make-rprivate /
case $python in /root/*)
    mkdir "$scratch/python"
    mount --bind "$python" "$scratch/python"
    mount -t tmpfs -o mode=755 tmpfs /root
    mkdir -p "$python"
    mount --bind "$scratch/python" "$python"
esac
mkdir -p /var/lib/e2l
mount -t tmpfs -o uid=10001,gid=10001,mode=700 tmpfs /var/lib/e2l
mount --bind "$project" "$project"
mount -o remount,bind,ro "$project"
cd "$project"
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all \
    --inh-caps=-all "$@"
"""


def can_confine() -> bool:
    """Return whether this user may make namespaces and file systems of its own."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        return False
    # Another user must be able to read the code and to run its Python.
    program = (
        "import subprocess, sys; "
        "subprocess.run([sys.executable, '-c', 'import e2l_site, django'], check=True)"
    )
    with tempfile.TemporaryDirectory() as scratch:
        tried = subprocess.run(
            confined(Path(scratch), [sys.executable, "-c", program]),
            check=False,
            capture_output=True,
        )
    return tried.returncode == 0


def confined(scratch: Path, command: Sequence[str]) -> list[str]:
    """Return the command that runs another one as in its container."""
    places = [str(scratch), str(PROJECT_ROOT), sys.base_prefix]
    return ["unshare", "--mount", "bash", "-c", CONFINE, "confine", *places, *command]


class Container:
    """The processes of one service's container: they share a /var/lib/e2l."""

    def __init__(self, name: str, environment: dict[str, str], directory: Path) -> None:
        self.name = name
        self.environment = environment
        self._log = directory / f"{name}.log"
        self._directory = directory
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str]) -> None:
        scratch = Path(tempfile.mkdtemp(dir=self._directory))
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                confined(scratch, own(command)),
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, command: Sequence[str]) -> int:
        """Run a command beside the container's own, as ``docker exec`` does."""
        assert self.process is not None
        done = subprocess.run(
            ["nsenter", "--target", str(self.process.pid), "--mount", f"--wdns={PROJECT_ROOT}",
             "setpriv", "--reuid", "10001", "--regid", "10001", "--clear-groups",
             *own(command)],
            cwd=PROJECT_ROOT, env=self.environment, check=False, capture_output=True, timeout=60,
        )  # fmt: skip
        with self._log.open("ab") as log:
            log.write(done.stdout + done.stderr)
        return done.returncode

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self, seconds: float) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)


def own(command: Sequence[str]) -> list[str]:
    """Return a command of the image as this machine runs it."""
    return [sys.executable if part == ".venv/bin/python" else part for part in command]


def environment_of(name: str, database: str, redis: str) -> dict[str, str]:
    """Return the environment that Compose gives a service, with the servers of this machine."""
    given = {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    given |= {"DATABASE_URL": database, "REDIS_URL": redis, "E2L_WORKERS": "1"}
    image = {"E2L_DATA_DIR": "/var/lib/e2l", "PYTHONDONTWRITEBYTECODE": "1"}
    return {"PATH": os.environ["PATH"], "HOME": "/var/lib/e2l", **image, **given}


@contextmanager
def ended(containers: Mapping[str, Container]) -> Iterator[None]:
    try:
        yield
    finally:
        for container in containers.values():
            if container.process is not None and container.process.poll() is None:
                os.killpg(container.process.pid, signal.SIGKILL)
                container.process.wait()


@pytest.mark.integration
def test_every_command_runs_as_the_container_would_run_it(
    tmp_path: Path, postgres_url: str, system_redis_url: str
) -> None:
    if not can_confine():
        pytest.skip("confining a process takes root, unshare, and code that others may read")
    tmp_path.chmod(0o755)
    port = free_port()
    containers = {
        name: Container(name, environment_of(name, postgres_url, system_redis_url), tmp_path)
        for name in OWN
    }

    def command_of(name: str, key: str = "command") -> list[str]:
        text = SERVICES[name]["healthcheck"]["test"][1:] if key == "test" else SERVICES[name][key]
        # Another server may have the port on this machine.
        return [part.replace("8000", str(port)) for part in text]

    with ended(containers):
        for _ in range(2):  # it runs at each start, and does nothing the second time
            containers["migrate"].start(command_of("migrate"))
            assert containers["migrate"].process.wait(120) == 0, containers["migrate"].log()
        assert "No migrations to apply" in containers["migrate"].log()
        going_on = ["web", "worker", "sweeper"]
        for name in going_on:
            containers[name].start(command_of(name))
        for name in going_on:
            test = command_of(name, "test")
            wait_until(
                lambda name=name, test=test: containers[name].run(test) == 0,
                120,
                f"{name} is healthy\n{containers[name].log()[-3000:]}",
            )
        for name in going_on:
            assert "Read-only file system" not in containers[name].log()
            assert "Permission denied" not in containers[name].log()
            # They really cannot write to the code.
            assert containers[name].run(["touch", "e2l_site/written"]) != 0
        for name in going_on:
            grace = int(SERVICES[name].get("stop_grace_period", "10s").removesuffix("s"))
            assert containers[name].stop(grace + 10) == 0, containers[name].log()[-3000:]
    assert not (PROJECT_ROOT / "e2l_site" / "written").exists()


@pytest.mark.integration
def test_the_commands_of_the_servers(tmp_path: Path, postgres_url: str) -> None:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no Redis server is installed: apt install redis-server")
    port = free_port()
    command = [*SERVICES["redis"]["command"], "--port", str(port), "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        ping = ["redis-cli", "-p", str(port), *SERVICES["redis"]["healthcheck"]["test"][2:]]
        wait_until(
            lambda: subprocess.run(ping, check=False, capture_output=True).stdout == b"PONG\n",
            20,
            "Redis answers",
        )
    finally:
        server.terminate()
        assert server.wait(20) == 0
    ready = shutil.which("pg_isready")
    if ready is None:
        pytest.skip("pg_isready is not installed")
    test = [*SERVICES["postgres"]["healthcheck"]["test"][1:], "--host", "127.0.0.1"]
    assert subprocess.run(test, check=False, capture_output=True).returncode == 0
