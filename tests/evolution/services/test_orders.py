from __future__ import annotations

import pytest

from evolution.errors import StateConflict
from evolution.models import Worker, WorkerHost
from evolution.services import closing, orders
from evolution.services.couriers import CeleryCourier

pytestmark = pytest.mark.django_db


@pytest.fixture
def here() -> str:
    Worker.objects.create(name="here:1:1", host=orders.own_host())
    Worker.objects.create(name="there:1:1", host="there")
    return orders.own_host()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker shares with its children."""
    monkeypatch.setattr(closing, "_memory", None)
    closing.prepare()


def test_a_drained_host_is_drained_once(here: str, django_user_model) -> None:
    ann = django_user_model.objects.create_user("ann")
    orders.drain("there", by=ann)
    assert WorkerHost.objects.get(name="there").changed_by == ann
    with pytest.raises(StateConflict, match="there is drained already"):
        orders.drain("there")
    orders.resume("there")
    with pytest.raises(StateConflict, match="there is not drained"):
        orders.resume("there")


@pytest.mark.parametrize("order", [orders.drain, orders.resume, orders.restart])
def test_a_host_that_nobody_has_heard_of_is_refused(here: str, order) -> None:
    with pytest.raises(StateConflict, match="There is no host 'nowhere'"):
        order("nowhere")
    assert not WorkerHost.objects.exists()


def test_workers_of_drained_hosts_are_not_counted_on(here: str) -> None:
    orders.drain("there")
    assert [worker.host for worker in Worker.objects.available()] == [here]
    assert [worker.host for worker in Worker.objects.idle()] == [here]
    assert Worker.objects.alive().count() == 2


def test_what_is_asked_of_this_host_is_passed_on(here: str, memory: None) -> None:
    orders.drain("there")
    assert orders.obey() is False
    assert not closing.is_drained()
    orders.drain(here)
    assert orders.obey() is True
    assert closing.is_drained()
    orders.resume(here)
    assert orders.obey() is False
    assert not closing.is_drained()


def test_only_restarts_asked_for_since_the_start_count(here: str, memory: None) -> None:
    orders.restart(here)
    orders.obey()
    assert not closing.is_to_restart()
    orders.restart("there")
    orders.obey()
    assert not closing.is_to_restart()
    orders.restart(here)
    orders.obey()
    assert closing.is_to_restart()
    assert not closing.has_begun()


def test_a_host_without_living_workers_cannot_be_restarted(here: str) -> None:
    WorkerHost.objects.create(name="gone", is_drained=True)
    with pytest.raises(StateConflict, match="nothing to restart"):
        orders.restart("gone")


def test_a_drained_worker_leaves_its_message_to_others(here: str, monkeypatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(CeleryCourier, "wake", lambda self, n: sent.append(n))
    orders.drain("there")
    CeleryCourier().pass_on()
    orders.drain(here)
    # Nobody could take it: the sweeper sends one when somebody can.
    CeleryCourier().pass_on()
    assert sent == [1]
