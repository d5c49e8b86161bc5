"""The launcher, started for real: what it starts, restarts, refuses and leaves behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2l_site.broker import default_socket_path
from e2l_site.locations import PROJECT_ROOT
from tests.e2l_site.launching import (
    Launched,
    launched,
    launcher_environment,
    processes_of,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def migrated(data_dir: Path, **environment: str) -> Path:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput"],
        cwd=PROJECT_ROOT,
        env=launcher_environment(data_dir, environment),
        check=True,
        capture_output=True,
    )
    return data_dir


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A running site; tests leave it running."""
    data_dir = migrated(tmp_path_factory.mktemp("data dir"))
    with launched(data_dir, free_port()) as launcher:
        launcher.wait_for_page()
        yield launcher


def run_launcher(data_dir: Path, *options: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "e2l_site.launcher", *options],
        cwd=PROJECT_ROOT,
        env=launcher_environment(data_dir, environment),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_closing_line_holds_an_address_and_a_way_in_that_answer(site: Launched) -> None:
    urls = re.findall(r"http://\S+", site.closing_line)
    assert len(urls) == 2
    for url in urls:
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200


def test_broker_is_private_to_the_user(site: Launched) -> None:
    socket_path = Path((site.data_dir / "valkey" / "socket").read_text().strip())
    assert socket_path.stat().st_mode & 0o777 == 0o700
    assert socket_path.parent.stat().st_mode & 0o077 == 0
    assert len(site.processes("valkey-server")) == 1


def test_second_start_on_the_same_data_is_refused(site: Launched) -> None:
    code, text = run_launcher(site.data_dir, "--port", str(free_port()))
    assert code == 1
    assert text.count("\n") == 1
    assert f"already runs on this data directory at {site.closing_line.split()[3]}" in text
    assert str(site.process.pid) in text


def test_taken_port_is_named_with_its_owner(site: Launched, tmp_path: Path) -> None:
    port = site.closing_line.split()[3].rstrip("/").rpartition(":")[2]
    code, text = run_launcher(tmp_path, "--port", port)
    assert code == 1
    assert text.count("\n") == 1
    assert text.startswith(f"Port {port} is taken by ")


@pytest.mark.parametrize("part", ["celery -A e2l_site worker", "e2l_site.web", "valkey-server"])
def test_killed_process_is_started_again(site: Launched, part: str) -> None:
    wait_until(lambda: bool(site.processes(part)), 30, f"{part} runs")
    before = site.processes(part)
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: bool(set(site.processes(part)) - set(before)), 30, f"{part} runs again")
    wait_until(lambda: not set(site.processes(part)) & set(before), 30, f"the old {part} is gone")
    # The web server is loading: connections wait for it instead of failing.
    with urllib.request.urlopen(site.closing_line.split()[3], timeout=60) as answer:
        assert answer.status == 200


def test_urls_select_real_servers(tmp_path: Path, postgres_url: str, system_redis_url: str) -> None:
    servers = {"DATABASE_URL": postgres_url, "REDIS_URL": system_redis_url}
    with launched(migrated(tmp_path, **servers), free_port(), servers) as launcher:
        launcher.wait_for_page()
        assert "first sign-in" in launcher.closing_line
        worker_log = tmp_path / "log" / "worker.log"
        server = f"@{system_redis_url.removeprefix('redis://')}"
        wait_until(lambda: server in worker_log.read_text(), 60, "the worker's connection")
        assert launcher.processes("valkey-server") == []
        assert not (tmp_path / "valkey").exists()
        assert not (tmp_path / "db.sqlite3").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with launched(migrated(tmp_path), free_port()) as launcher:
        launcher.wait_for_page()
        wait_until(lambda: len(launcher.processes()) >= 4, 30, "all processes run")
        launcher.process.send_signal(number)
        assert launcher.process.wait(30) == 0
        assert launcher.processes() == []
        assert "Stopped" in launcher.output
        assert not default_socket_path(tmp_path).parent.exists()


def test_processes_end_with_a_killed_launcher(tmp_path: Path) -> None:
    with launched(migrated(tmp_path), free_port()) as launcher:
        launcher.wait_for_page()
        launcher.process.kill()
        wait_until(lambda: launcher.processes() == [], 30, "no orphans")


# As make does, it waits for the launcher instead of passing the signal on.
FIRST_IN_TERMINAL = """
import fcntl, signal, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, lambda *_: None)
subprocess.run(sys.argv[1:])
"""


def test_closed_terminal_stops_everything(tmp_path: Path) -> None:
    terminal, other_end = os.openpty()
    first = subprocess.Popen(
        [
            *(sys.executable, "-c", FIRST_IN_TERMINAL),
            *(sys.executable, "-m", "e2l_site.launcher", "--port", str(free_port())),
        ],
        cwd=PROJECT_ROOT,
        env=launcher_environment(migrated(tmp_path)),
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
        start_new_session=True,
    )
    os.close(other_end)
    output = b""
    while b"e2l runs at" not in output:
        output += os.read(terminal, 65536)
    os.close(terminal)
    try:
        assert first.wait(30) == 0
        assert processes_of(tmp_path) == {}
        # The broker was stopped in order, not by the launcher's death.
        assert not (tmp_path / "valkey" / "pid").exists()
    finally:
        for pid in processes_of(tmp_path):
            os.kill(pid, signal.SIGKILL)


def test_left_over_broker_is_stopped_and_its_messages_come_back(tmp_path: Path) -> None:
    import redis

    with launched(migrated(tmp_path), free_port()) as launcher:
        launcher.wait_for_page()
        url = f"unix://{(tmp_path / 'valkey' / 'socket').read_text().strip()}"
        redis.Redis.from_url(url).set("kept", "1")
        time.sleep(1.2)  # the append-only file is written once a second
        old = launcher.processes("valkey-server")
        # Stopped processes do not react to the launcher's death: a server that is left over.
        os.kill(old[0], signal.SIGSTOP)
        launcher.process.kill()
        launcher.process.wait()
    with launched(tmp_path, free_port()) as launcher:
        launcher.wait_for_page()
        assert not set(launcher.processes("valkey-server")) & set(old)
        assert redis.Redis.from_url(url).get("kept") == b"1"


@pytest.mark.parametrize("command", ["e2l_site.bootstrap setup", "e2l_site.launcher --port 1"])
def test_stop_before_anything_has_begun_is_silent(tmp_path: Path, command: str) -> None:
    # The interrupt comes while the modules of the command load, at the first one of ours.
    (tmp_path / "sitecustomize.py").write_text(
        """
import os, signal, sys
class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == "e2l_site.preflight":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupter())
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=PROJECT_ROOT,
        env=launcher_environment(tmp_path, {"PYTHONPATH": str(tmp_path)}),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGINT
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize(
    ("options", "environment", "sentence"),
    [
        (("--port", "http"), {}, "PORT must be a whole number from 1 to 65535, not 'http'."),
        (("--port", "0"), {}, "PORT must be a whole number from 1 to 65535, not '0'."),
        ((), {"E2L_WORKERS": "many"}, "E2L_WORKERS must be a whole number from 1 to 256"),
        ((), {"E2L_WEB_PROCESSES": "0"}, "E2L_WEB_PROCESSES must be a whole number from 1 to 256"),
        (("--worker-only",), {}, "There is no broker to work for: set REDIS_URL"),
        ((), {"E2L_VALKEY_SOCKET": f"/tmp/{'x' * 120}/s"}, "is longer than 107 bytes"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(
    tmp_path: Path, options: tuple[str, ...], environment: dict[str, str], sentence: str
) -> None:
    if not options:
        options = ("--port", str(free_port()))
    code, text = run_launcher(tmp_path, *options, **environment)
    assert code == 1
    assert sentence in text
    assert "Traceback" not in text
