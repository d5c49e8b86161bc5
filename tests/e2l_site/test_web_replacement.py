"""A web server is replaced while people use the site: nobody gets an error."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.e2l_site.launching import Launched, launched, wait_until
from tests.e2l_site.test_launcher import free_port, migrated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


class Crowd:
    """People who ask for pages, each on a new connection, one after the other, until told."""

    def __init__(self, port: int, n_people: int) -> None:
        self.answers: list[int] = []
        self.errors: list[str] = []
        self._port = port
        self._is_over = threading.Event()
        self._people = [threading.Thread(target=self._ask) for _ in range(n_people)]

    def __enter__(self) -> Crowd:
        for person in self._people:
            person.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for person in self._people:
            person.join()

    def is_served(self, n_more: int) -> None:
        """Wait until so many more answers have come."""
        wanted = len(self.answers) + n_more
        wait_until(lambda: len(self.answers) >= wanted, 60, "people are served")

    def _ask(self) -> None:
        while not self._is_over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            try:
                connection.request("GET", "/sign-in/", headers={"Connection": "close"})
                answer = connection.getresponse()
                answer.read()
                self.answers.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
            finally:
                connection.close()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Launched]:
    data_dir = migrated(tmp_path_factory.mktemp("replaced"))
    with launched(data_dir, port, {}, "--web-only") as launcher:
        wait_until(lambda: "Web server:" in launcher.output, 60, "the page answers")
        yield launcher


def test_nobody_gets_an_error_while_the_web_server_is_replaced(site: Launched, port: int) -> None:
    served_by = site.processes("e2l_site.web")
    assert len(served_by) == 1

    def is_replaced() -> bool:
        now = site.processes("e2l_site.web")
        return len(now) == 1 and now[0] not in served_by

    with Crowd(port, 4) as crowd:
        for _ in range(2):
            crowd.is_served(20)
            site.process.send_signal(signal.SIGHUP)
            wait_until(is_replaced, 60, "a new one serves and the old one is gone")
            served_by += site.processes("e2l_site.web")
    assert crowd.errors == []
    assert set(crowd.answers) == {200}
    assert len(served_by) == 3
    assert site.output.count("was replaced") == 2


def test_several_web_servers_share_the_port_and_are_replaced_together(tmp_path: Path) -> None:
    own_port = free_port()
    environment = {"E2L_WEB_PROCESSES": "2"}
    with launched(migrated(tmp_path), own_port, environment, "--web-only") as launcher:

        def are_ready(n: int, before: list[int]) -> bool:
            now = launcher.processes("e2l_site.web")
            return len(now) == n and not set(now) & set(before)

        wait_until(lambda: launcher.output.count("Started server process") == 2, 60, "both serve")
        first, second = before = launcher.processes("e2l_site.web")
        for stopped in (first, second):
            os.kill(stopped, signal.SIGSTOP)
            try:
                with Crowd(own_port, 2) as crowd:
                    crowd.is_served(10)
            finally:
                os.kill(stopped, signal.SIGCONT)
            assert crowd.errors == []
        with Crowd(own_port, 4) as crowd:
            crowd.is_served(20)
            launcher.process.send_signal(signal.SIGHUP)
            wait_until(lambda: are_ready(2, before), 60, "two new ones serve, the old are gone")
        assert crowd.errors == []
        assert set(crowd.answers) == {200}
        assert launcher.output.count("was replaced") == 2


def test_a_request_whose_last_part_comes_late_is_answered(site: Launched, port: int) -> None:
    """The connection was made before the replacement; the request is complete after it began."""

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        await writer.drain()
        (old,) = site.processes("e2l_site.web")
        await asyncio.sleep(0.2)
        os.kill(old, signal.SIGTERM)
        await asyncio.sleep(0.3)
        writer.write(b"Connection: close\r\n\r\n")
        return await asyncio.wait_for(reader.read(), 20)

    assert asyncio.run(ask()).startswith(b"HTTP/1.1 200 OK")
    wait_until(lambda: bool(site.processes("e2l_site.web")), 30, "it was started again")


def test_a_successor_that_does_not_start_leaves_the_old_one(tmp_path: Path) -> None:
    own_port = free_port()
    broken = tmp_path / "broken"
    broken.mkdir()
    with launched(
        migrated(tmp_path), own_port, {"PYTHONPATH": str(broken)}, "--web-only"
    ) as launcher:
        wait_until(lambda: "Web server:" in launcher.output, 60, "the page answers")
        before = launcher.processes("e2l_site.web")
        # The new code cannot be loaded.
        (broken / "csp.py").write_text("raise RuntimeError('broken')\n")
        launcher.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "could not be replaced" in launcher.output, 60, "it was noticed")
        assert launcher.processes("e2l_site.web") == before
        connection = http.client.HTTPConnection("127.0.0.1", own_port, timeout=20)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        launcher.process.send_signal(signal.SIGTERM)
        assert launcher.process.wait(30) == 0
