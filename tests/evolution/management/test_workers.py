from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from evolution.models import Worker, WorkerHost
from evolution.services import orders

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def workers() -> None:
    Worker.objects.create(name="a:1:1", host="a", is_busy=True, engine_version="v1")
    Worker.objects.create(name="b:22:22", host="b")


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("workers", *arguments, stdout=output)
    return output.getvalue()


def drained() -> list[str]:
    hosts = WorkerHost.objects.filter(is_drained=True)
    return sorted(hosts.values_list("name", flat=True))


def test_the_list() -> None:
    assert run("list").splitlines() == [
        "a: at work",
        "  process 1: busy",
        "b: idle",
        "  process 22: idle",
    ]
    hosts = json.loads(run("list", "--json"))["hosts"]
    assert [(host["host"], host["state"], host["is_drained"]) for host in hosts] == [
        ("a", "at work", False),
        ("b", "idle", False),
    ]
    assert hosts[0]["workers"][0]["engine_version"] == "v1"


def test_all_hosts_are_drained_resumed_and_restarted() -> None:
    orders.drain("a")
    assert run("drain", "all") == "b takes no more work.\n"
    assert drained() == ["a", "b"]
    assert run("drain", "all") == "There is no such host: nothing was changed.\n"
    assert run("resume", "all") == "a takes work again.\nb takes work again.\n"
    assert drained() == []
    assert run("restart", "all").count("starts its workers anew") == 2


@pytest.mark.parametrize("action", ["drain", "resume", "restart"])
def test_a_host_that_does_not_fit_is_refused(action: str) -> None:
    with pytest.raises(CommandError, match="There is no host 'c'") as error:
        run(action, "c")
    assert error.value.returncode == 2


def test_waiting_ends_when_nobody_works_or_time_is_up() -> None:
    with pytest.raises(CommandError, match="still busy: 1 on a") as error:
        run("drain", "a", "--wait", "0.1")
    assert error.value.returncode == 1
    assert drained() == ["a"]
    assert run("drain", "b", "--wait", "0.1").endswith("Nobody works there any more.\n")


def test_a_host_knows_whether_its_workers_live() -> None:
    with pytest.raises(CommandError, match="No worker of"):
        run("alive")
    Worker.objects.create(name="here:1:1", host=orders.own_host())
    assert run("alive") == ""
