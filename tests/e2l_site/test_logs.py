"""Each line of the log tells what it belongs to, from the request to the simulation."""

from __future__ import annotations

import http.client
import json
import logging
import re
import sys
import threading
import time
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from e2l_site import logs
from evolution import tracing
from tests.evolution.processes import Site, ended
from tests.servers import free_port, wait_until

if TYPE_CHECKING:
    from pathlib import Path


def written(text: str, *arguments: object, as_json: bool = True, **options: Any) -> str:
    """Write one line as a process with this format does."""
    configuration = logs.configuration(as_json=as_json, level="INFO")
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs.Ids())
    pattern = configuration["formatters"]["text"]["format"]
    handler.setFormatter(logs.Json() if as_json else logging.Formatter(pattern))
    logger = logging.Logger("a.test")
    logger.addHandler(handler)
    logger.warning(text, *arguments, **options)
    return stream.getvalue()


def test_json_lines_hold_the_ids_and_nothing_that_libraries_attach() -> None:
    with tracing.bound(request="r-1", experiment=7):
        line = json.loads(written("%d of %d", 1, 2, extra={"data": {"secret": object()}}))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", line.pop("time"))
    assert isinstance(line.pop("process"), int)
    assert line == {
        "level": "WARNING",
        "logger": "a.test",
        "message": "1 of 2",
        "request": "r-1",
        "experiment": 7,
    }


def test_json_lines_hold_tracebacks_in_one_line() -> None:
    try:
        raise RuntimeError("odd\nerror")
    except RuntimeError:
        text = written("It failed", exc_info=True)
    assert text.count("\n") == 1
    assert "RuntimeError: odd\nerror" in json.loads(text)["exc_info"]


def test_text_lines_end_with_the_ids() -> None:
    with tracing.bound(request="r-1"), tracing.bound(task="t-1", run=None):
        line = written("Hello", as_json=False)
    assert line.endswith("WARNING a.test: Hello request=r-1 task=t-1\n")
    assert written("Hello", as_json=False).endswith("a.test: Hello\n")


def test_ids_of_one_thread_are_not_those_of_another() -> None:
    seen: list[dict[str, Any]] = []
    with tracing.bound(request="mine"):
        thread = threading.Thread(target=lambda: seen.append(dict(tracing.current())))
        thread.start()
        thread.join()
        assert tracing.current() == {"request": "mine"}
    assert seen == [{}]
    assert tracing.current() == {}


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("a1b2c3d4-0000-4000-8000-000000000000", True),
        ("short", False),
        ("x" * 65, False),
        ("id with spaces", False),
        ("forged user=1", False),
        ("näme-näme", False),
    ],
)
def test_a_request_id_is_taken_over_where_it_is_well_formed(client, given, is_kept) -> None:
    answer = client.get("/healthz", headers={"x-request-id": given}).headers["X-Request-ID"]
    assert (answer == given) == is_kept
    if not is_kept:
        assert re.fullmatch("[0-9a-f]{32}", answer)


@pytest.mark.django_db
def test_requests_that_change_or_fail_are_logged_with_their_user(
    client, caplog, django_user_model
) -> None:
    user = django_user_model.objects.create_user("ann")
    client.force_login(user)
    found: list[dict[str, Any]] = []
    caplog.handler.addFilter(lambda record: found.append(dict(tracing.current())) or True)
    with caplog.at_level(logging.INFO, logger="e2l_site.logs"):
        client.get("/experiments/new/")
        client.get("/experiments/4711/", headers={"x-request-id": "request-one"})
        client.get("/forged%0Aline/")
    lines = [record.getMessage() for record in caplog.records if record.name == "e2l_site.logs"]
    assert [re.sub(r"\d+ ms", "N ms", line) for line in lines] == [
        "GET /experiments/4711/ 404 in N ms",
        "GET /forged%0Aline/ 404 in N ms",
    ]
    assert {"request": "request-one", "user": user.pk} in found


def test_a_message_takes_the_ids_of_a_request_but_not_those_of_a_task() -> None:
    with tracing.bound(request="r-1", user=3, experiment=1):
        assert logs.request_ids() == {"request": "r-1", "user": 3}
        with tracing.bound(task="t"):
            assert logs.request_ids() == {}


PREPARE = """
import django; django.setup()
from django.contrib.auth import get_user_model
from django.test import Client
from tests.evolution import remote_operator
user = get_user_model().objects.create_superuser("ann")
client = Client(); client.force_login(user)
pk = remote_operator.create(10, 1, {"n_points": 5}, {"n_generations": 5, "target_fitness": None})
print(user.pk, pk, client.cookies["e2l_session"].value)
"""


@pytest.mark.integration
def test_a_request_is_followed_to_the_simulation(tmp_path: Path, valkey: str) -> None:
    """A real web server, a real message, a real worker."""
    import subprocess

    from e2l_site.locations import PROJECT_ROOT

    site = Site(tmp_path, valkey, None)
    site.environment |= {
        "E2L_LOG_FORMAT": "json",
        "E2L_LOG_LEVEL": "DEBUG",
        "E2L_LEARNING_TASKS": "tests.evolution.regression_task:RegressionTask",
    }
    site.check("migrate", "-v0")
    prepared = subprocess.run(
        [sys.executable, "-c", PREPARE], cwd=PROJECT_ROOT, env=site.environment,
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    user, experiment, session = prepared.stdout.split()
    port = free_port()
    web = ("uvicorn", "e2l_site.asgi:application", "--port", str(port), "--lifespan", "off")
    with ended(site.start(*web)), site.worker(1):
        wait_until(lambda: _status(port, "GET", "/healthz") == 200, 60, "the page answers")
        token = "t" * 32
        headers = {
            "Cookie": f"e2l_session={session}; e2l_csrf={token}",
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Request-ID": "request-one",
        }
        body = f"csrfmiddlewaretoken={token}"
        path = f"/experiments/{experiment}/launch/"
        assert _status(port, "POST", path, body, headers) == 302
        wait_until(lambda: "Simulates" in site.log(), 60, f"a simulation\n{site.log()}")
        time.sleep(0.5)
    lines = [
        json.loads(line)
        for line in (tmp_path / "worker.log").read_text().splitlines()
        if line.startswith("{")
    ]
    (asked,) = [line for line in lines if line["message"].startswith("POST ")]
    assert (asked["request"], asked["user"]) == ("request-one", int(user))
    simulated = [line for line in lines if line["message"].startswith("Simulates ")]
    first = simulated[0]
    assert (first["request"], first["user"]) == ("request-one", int(user))
    assert first["experiment"] == int(experiment)
    assert re.fullmatch("[0-9a-f-]{36}", first["task"])
    assert re.fullmatch("[0-9]+(,[0-9]+)*", first["evaluation"])
    # Celery's own lines have the same form.
    assert any("ready." in line["message"] for line in lines)


def _status(
    port: int, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()
