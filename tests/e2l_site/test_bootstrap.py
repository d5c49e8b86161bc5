"""The set-up: what it refuses in one sentence, and what it does again."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from e2l_site import bootstrap
from e2l_site.locations import PROJECT_ROOT
from e2l_site.progress import SetupError, StepError, Steps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NO_DOWNLOADS = {
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the first steps of the set-up need, in a path with a space."""
    target = tmp_path / "check out"
    shutil.copytree(
        PROJECT_ROOT / "e2l_site", target / "e2l_site", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(PROJECT_ROOT / "requirements.txt", target)
    return target


def run_bootstrap(
    checkout: Path,
    *arguments: str,
    prelude: str = "pass",
    environment: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Run the set-up like ``python -m e2l_site.bootstrap``, after the statements in ``prelude``."""
    program = (
        f"import runpy, sys; {prelude}; sys.argv = ['bootstrap', *sys.argv[1:]]; "
        "runpy.run_module('e2l_site.bootstrap', run_name='__main__')"
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("E2L_")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=checkout,
        env={**inherited, **NO_DOWNLOADS, **(environment or {})},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_needs_nothing_but_the_standard_library() -> None:
    program = "import e2l_site.bootstrap, e2l_site.broker"
    subprocess.run([sys.executable, "-S", "-c", program], cwd=PROJECT_ROOT, check=True)


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0)])
def test_wrong_python_is_one_sentence(checkout: Path, version: tuple[int, int, int]) -> None:
    code, text = run_bootstrap(checkout, "setup", prelude=f"sys.version_info = {version}")
    assert code == 1
    assert text.startswith("e2l needs Python 3.11, 3.12 or 3.13, and this is 3.1")
    assert text.count("\n") == 1


def test_missing_venv_module_is_one_sentence(checkout: Path) -> None:
    code, text = run_bootstrap(checkout, "setup", prelude="sys.modules['ensurepip'] = None")
    assert code == 1
    assert re.fullmatch(r"Python 3\.\d+ lacks its module ensurepip: .*-venv'\.\n", text)


def test_missing_compiler_is_one_sentence_before_any_download(checkout: Path) -> None:
    code, text = run_bootstrap(checkout, "setup", environment={"CXX": "no-such-compiler -O3"})
    assert code == 1
    assert re.fullmatch(r"No C\+\+ compiler was found \(no-such-compiler\): .*CXX\.\n", text)
    assert not (checkout / ".venv").exists()


def test_taken_port_is_found_before_anything_is_set_up(checkout: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, text = run_bootstrap(checkout, "up", "--port", str(port))
    assert code == 1
    assert text.startswith(f"Port {port} is taken by ")
    assert f"(process {os.getpid()})" in text
    assert not (checkout / ".venv").exists()


def test_unwritable_directory_is_one_sentence(checkout: Path) -> None:
    # A file system on which not even root may create anything.
    code, text = run_bootstrap(checkout, "setup", environment={"E2L_DATA_DIR": "/sys/e2l"})
    assert code == 1
    assert text == "A file or directory may not be written (/sys/e2l).\n"


def test_broken_download_is_one_sentence_and_the_next_start_begins_anew(checkout: Path) -> None:
    code, text = run_bootstrap(checkout, "setup")
    assert code == 1
    assert re.fullmatch(
        r"Package installer failed: a download broke off or its server cannot be reached; "
        r".* Details: var/log/setup\.log\n",
        text,
    )
    left_over = checkout / ".venv" / "half-installed"
    left_over.touch()
    run_bootstrap(checkout, "setup")
    assert not left_over.exists()


def test_second_setup_at_the_same_time_is_refused(checkout: Path) -> None:
    import fcntl

    descriptor = os.open(checkout, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        code, text = run_bootstrap(checkout, "setup")
    finally:
        os.close(descriptor)
    assert code == 1
    assert text.startswith("Another set-up runs in this directory")


def test_little_space_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "NEEDED_SPACE_BYTES", 10**18)
    with pytest.raises(SetupError, match=r"Too little space .* needs 1000000000\.0 GB"):
        bootstrap.Bootstrap(Steps(tmp_path / "log")).environment(with_tests=False)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("error: failed to write: No space left on device (os error 28)", "no space is left"),
        ("error: Hash mismatch for `numpy==2.4.6`", "not the file that the lock file names"),
        ("error: dns error: failed to lookup address", "a download broke off"),
        ("ReadTimeoutError: Read timed out.", "a download broke off"),
        ("  cause: invalid peer certificate: UnknownIssuer", "is not trusted here"),
        ("SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'): Max retries", "is not trusted here"),
        ("error: Permission denied (os error 13)", "may not be written"),
        ("No C++20 compiler was found: install g++.", "failed: No C++20 compiler was found: "),
    ],
)
def test_failure_names_its_cause(tmp_path: Path, output: str, reason: str) -> None:
    steps = Steps(tmp_path / "log")
    with pytest.raises(StepError) as failure:
        steps.run("Step", [sys.executable, "-c", f"print({output!r}); raise SystemExit(1)"])
    assert reason in str(failure.value)
    assert str(failure.value).endswith(f". Details: {tmp_path / 'log'}")
    assert output in (tmp_path / "log").read_text()


class PackagesOutOfReach(Steps):
    """A network in which uv fails unless its command holds a certain option."""

    def __init__(self, log: Path, reason: str, remedy: str = "none") -> None:
        super().__init__(log)
        self.reason = reason
        self.remedy = remedy
        self.commands: list[str] = []

    def run(self, label: str, command: Sequence[str], environment: object = None) -> None:
        self.commands.append(" ".join(command))
        if "uv pip" in self.commands[-1] and self.remedy not in self.commands[-1]:
            output = [
                "error: Failed to fetch: https://pypi.org/simple/numpy/",
                "  cause: error sending request for url (https://pypi.org/simple/numpy/)",
                f"  cause: {self.reason}",
            ]
            raise StepError(label, output, self.log)


@pytest.fixture
def pip_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing that pip has been told on this machine; a test may tell it something."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return monkeypatch


@pytest.mark.parametrize(
    ("remedy", "successful"),
    [("--system-certs", "-m uv pip install .* --system-certs .*"), ("none", "-m pip install .*")],
)
def test_authorities_of_the_machine_are_trusted(
    tmp_path: Path, remedy: str, successful: str
) -> None:
    steps = PackagesOutOfReach(tmp_path / "log", "invalid peer certificate: UnknownIssuer", remedy)
    bootstrap.Bootstrap(steps)._install(bootstrap.LOCK)
    assert re.fullmatch(rf"\S+ {successful}", steps.commands[-1])
    assert "--require-hashes" in steps.commands[-1]


@pytest.mark.parametrize("is_kept", [True, False])
def test_code_is_compiled_where_no_process_keeps_what_it_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", not is_kept)
    steps = PackagesOutOfReach(tmp_path / "log", "", remedy="")
    bootstrap.Bootstrap(steps)._install(bootstrap.LOCK)
    bootstrap.Bootstrap(steps).bytecode()
    compiling = [command for command in steps.commands if "compile" in command]
    assert len(compiling) == (0 if is_kept else 2)


@pytest.mark.parametrize(
    "setting",
    [{"PIP_INDEX_URL": "https://mirror.example.org/simple"}, {"PIP_PROXY": "http://proxy:3128"}],
)
def test_an_index_that_only_pip_knows_is_used(
    tmp_path: Path, pip_settings: pytest.MonkeyPatch, setting: dict[str, str]
) -> None:
    for name, value in setting.items():
        pip_settings.setenv(name, value)
    steps = PackagesOutOfReach(tmp_path / "log", "Connection refused (os error 111)")
    bootstrap.Bootstrap(steps)._install(bootstrap.LOCK)
    assert re.fullmatch(r"\S+ -m pip install .*--require-hashes .*", steps.commands[-1])


@pytest.mark.usefixtures("pip_settings")
def test_without_settings_of_pip_a_download_that_fails_is_not_tried_twice(tmp_path: Path) -> None:
    steps = PackagesOutOfReach(tmp_path / "log", "Connection refused (os error 111)")
    with pytest.raises(StepError, match="its server cannot be reached"):
        bootstrap.Bootstrap(steps)._install(bootstrap.LOCK)


def test_stamp_holds_until_an_input_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "PROJECT_ROOT", tmp_path)
    source = tmp_path / "source"
    source.write_text("a")
    stamp = bootstrap.Stamp(tmp_path / "stamps" / "step")
    assert not stamp.has(bootstrap.digest([source], "fact"))
    stamp.set(bootstrap.digest([source], "fact"))
    assert stamp.has(bootstrap.digest([source], "fact"))
    assert not stamp.has(bootstrap.digest([source], "another fact"))
    source.write_text("b")
    assert not stamp.has(bootstrap.digest([source], "fact"))


def test_lock_of_the_tests_holds_every_pin_of_the_other_one() -> None:
    pins = [
        {
            # Markers are written in several ways: what they mean on each Python that we support.
            (version, str(pin.specifier), pin.name)
            for text in re.findall(r"^(\S+==.*?)\s*\\?$", lock.read_text(), re.MULTILINE)
            for pin in [Requirement(text)]
            for version in ("3.11", "3.12", "3.13")
            if pin.marker is None
            or pin.marker.evaluate(
                {"python_version": version, "python_full_version": f"{version}.5"}
            )
        }
        for lock in (bootstrap.LOCK, bootstrap.TEST_LOCK)
    ]
    assert len(pins[0]) > 50
    assert pins[0] <= pins[1]
