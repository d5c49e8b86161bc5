"""The workers that are there: they tell what they do, and the sweeper looks after the rest."""

from __future__ import annotations

import logging
import os
import platform
import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now

from evolution.models import Demand, Experiment, Run, Worker
from evolution.models.worker import SILENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import QuerySet

    from evolution.services.couriers import Courier

logger = logging.getLogger(__name__)

#: Errors of a database that is being restarted, is full or is busy.
TRANSIENT_ERRORS = (OperationalError, InterfaceError)
#: Time between two signs of life of a worker that waits.
IDLE_PULSE_S = SILENCE_S / 3


def own_name() -> str:
    """Return the name of this process and thread among all workers."""
    return f"{platform.node()[:60]}:{os.getpid()}:{threading.get_native_id()}"


def report(name: str, *, is_busy: bool | None = None, experiment_id: int | None = None) -> None:
    """Give a sign of life of a worker.

    Parameters
    ----------
    is_busy : bool, optional
        Whether it has something to do; by default as before.
    experiment_id : int, optional
        What it works on; by default as before.
    """
    changes: dict[str, object] = {}
    if is_busy is not None:
        changes["is_busy"] = is_busy
    if experiment_id is not None:
        changes["experiment_id"] = experiment_id
    if not Worker.objects.filter(name=name).update(heard_at=Now(), **changes):
        Worker.objects.get_or_create(name=name, defaults={"host": platform.node()[:100], **changes})


def leave(name: str) -> None:
    """Tell that a worker has gone."""
    Worker.objects.filter(name=name).delete()


def stay() -> None:
    """Tell that this worker process is there, now and as long as it lives."""
    name = own_name()
    _beat_safely(lambda: report(name, is_busy=False))
    thread = threading.Thread(
        target=_pulsate,
        args=(lambda: report(name), IDLE_PULSE_S, threading.Event()),
        name="presence",
        daemon=True,
    )
    thread.start()


@contextmanager
def pulse(beat: Callable[[], None], interval_s: float) -> Iterator[None]:
    """Call ``beat`` from a thread at regular intervals, with a database connection of its own."""
    is_over = threading.Event()
    thread = threading.Thread(
        target=_pulsate, args=(beat, interval_s, is_over), name="pulse", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _pulsate(beat: Callable[[], None], interval_s: float, is_over: threading.Event) -> None:
    while not is_over.wait(interval_s):
        _beat_safely(beat)
        connection.close()


def _beat_safely(beat: Callable[[], None]) -> None:
    try:
        beat()
    except DatabaseError as error:
        logger.warning("A sign of life could not be given: %s", error)


def ready_runs() -> QuerySet[Run]:
    """Return the running runs that wait for nothing: somebody has to advance them."""
    unsettled = Demand.objects.filter(run=OuterRef("pk")).unsettled()
    return Run.objects.running().filter(~Exists(unsettled))


def experiments_with_work(worker: str) -> QuerySet[Experiment]:
    """Return the running experiments with something to do for a worker, the longest unserved first.

    Parameters
    ----------
    worker : str
        Name of the worker's claims.
    """
    demands = Demand.objects.filter(experiment=OuterRef("pk")).active().unsettled().free(worker)
    return Experiment.objects.filter(
        Exists(ready_runs().filter(experiment=OuterRef("pk"))) | Exists(demands)
    ).order_by(F("served_at").asc(nulls_first=True), "pk")


def sweep(courier: Courier) -> int:
    """Ask for workers where a message or a worker was lost; return how many experiments wait."""
    Worker.objects.filter(heard_at__lt=Now() - timedelta(seconds=20 * SILENCE_S)).delete()
    n_waiting = experiments_with_work("sweeper").count()
    if n_waiting:
        n_busy = Worker.objects.alive().filter(is_busy=True).count()
        n_idle = Worker.objects.idle().count()
        # Whoever is busy looks for work afterwards; messages on top would only pile up.
        courier.wake(n_idle if n_busy or n_idle else n_waiting)
    return n_waiting
