"""The workers that are there: they tell what they do, and the sweeper looks after the rest."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import platform
import threading
import uuid
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import Error, InterfaceError, OperationalError, connection
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from evolution.models import Demand, Experiment, Run, Validation, Worker
from evolution.models.worker import SILENCE_S
from evolution.services import claiming, orders, watchdog
from evolution.services.evaluations import engine_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.db.models import QuerySet

    from evolution.services.couriers import Courier

logger = logging.getLogger(__name__)

#: Errors of a database that is being restarted, is full or is busy.
TRANSIENT_ERRORS = (OperationalError, InterfaceError)
#: Time between two signs of life of a worker that waits.
IDLE_PULSE_S = SILENCE_S / 3
_DETAIL_LENGTH = 10_000
# What the workers of this process do, also where the database could not be told: each sign of
# life tells it again.
_told: dict[str, dict[str, object]] = {}
# What gives signs of life while this process waits.
_presence = ExitStack()


def own_name() -> str:
    """Return the name of this process and thread among all workers."""
    return f"{platform.node()[:60]}:{os.getpid()}:{threading.get_native_id()}"


@cache
def _host() -> str:
    """Return a short name of the computer, or container, in which process ids mean the same."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def claim_name() -> str:
    """Return a name for claims that nobody else has and that tells the process."""
    return f"{uuid.uuid4().hex} {process_name()}"


def process_name() -> str:
    """Return the name of this process among all that the computer has had."""
    return f"{_host()}:{os.getpid()}"


def _has_ended(process: str) -> bool:
    """Tell whether a process has certainly ended."""
    host, _, pid = process.partition(":")
    return host == _host() and pid.isdecimal() and not _exists(int(pid))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # A process that was killed stays in the table until its parent has asked for it. In a container
    # an orphan's parent is whatever runs there first, which may never do so.
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return state.rpartition(")")[2].split()[0] not in {"Z", "X"}


def free_claims_of_the_dead(courier: Courier) -> None:
    """Give back what processes of this computer held that have been killed, and tell others."""
    try:
        _forget_the_dead()
        n_freed = sum(_free_if_dead(name) for name in claiming.claimants())
    except Error as error:
        # Their leases end by themselves.
        logger.warning("Claims of processes that have ended could not be freed: %s", error)
        return
    if n_freed:
        courier.wake(n_freed)


def _forget_the_dead() -> None:
    # Where two containers have one name a living worker may be forgotten until its next pulse.
    names = Worker.objects.filter(host=orders.own_host()).values_list("name", flat=True)
    dead = [name for name in names if not _exists(int(name.split(":")[-2]))]
    Worker.objects.filter(name__in=dead).delete()


def _free_if_dead(name: str) -> int:
    process = name.partition(" ")[2]
    if not _has_ended(process):
        return 0
    words = watchdog.last_words(process)
    if words:
        logger.warning("The last words of the worker %s:\n%s", process, words)
    n_freed = claiming.free_claims_of_the_dead(
        name,
        is_timeout=None if words is None else watchdog.is_timeout(words),
        detail=(words or "")[:_DETAIL_LENGTH],
    )
    watchdog.disarm(process)
    return n_freed


def blame_nobody(process_ids: Iterable[int]) -> None:
    """Note that processes which are about to be ended are no sign of bad rules."""
    endings = tuple(f" {_host()}:{pid}" for pid in process_ids)
    try:
        claiming.blame_nobody(lambda name: name.endswith(endings))
    except Error as error:
        logger.warning("It could not be noted that workers end: %s", error)
    finally:
        connection.close()


def report(name: str, *, is_busy: bool | None = None, experiment_id: int | None = None) -> None:
    """Give a sign of life of a worker.

    Parameters
    ----------
    is_busy : bool, optional
        Whether it has something to do; by default as before.
    experiment_id : int, optional
        What it works on; by default as before.
    """
    changes = _told.setdefault(name, {"engine_version": engine_version()})
    if is_busy is not None:
        changes["is_busy"] = is_busy
    if experiment_id is not None:
        changes["experiment_id"] = experiment_id
    if not Worker.objects.filter(name=name).update(heard_at=Now(), **changes):
        Worker.objects.get_or_create(name=name, defaults={"host": orders.own_host(), **changes})


def leave(name: str) -> None:
    """Tell that a worker has gone, and give no sign of life after that."""
    _presence.close()
    _told.pop(name, None)
    Worker.objects.filter(name=name).delete()


def rest(name: str) -> None:
    """Tell that a worker waits; if the database cannot be told now it is with the next pulse."""
    _beat_safely(lambda: report(name, is_busy=False))


def stay(interval_s: float = IDLE_PULSE_S) -> None:
    """Tell that this worker process is there, now and as long as it lives or until it leaves.

    Meanwhile what operators ask of it is read more often than it gives a sign of life, and what it
    held when the database went away is given back.
    """
    name = own_name()
    rest(name)
    orders.obey()
    look_s = min(interval_s, orders.INTERVAL_S)
    looks = itertools.count(1)

    def beat() -> None:
        orders.obey()
        claiming.give_back_stranded()
        if next(looks) % round(interval_s / look_s) == 0:
            report(name)

    _presence.enter_context(pulse(beat, look_s))


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
        with suppress(Error):
            connection.close()


def _beat_safely(beat: Callable[[], None]) -> None:
    try:
        beat()
    except Error as error:
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


def validations_with_work(worker: str) -> QuerySet[Validation]:
    """Return the validations that lack trials which nobody else simulates, the longest unserved
    first."""
    demands = Demand.objects.filter(validation=OuterRef("pk")).unsettled().free(worker)
    return (
        Validation.objects.open()
        .filter(Exists(demands))
        .order_by(F("served_at").asc(nulls_first=True), "pk")
    )


def sweep(courier: Courier) -> int:
    """Ask for workers where a message or a worker was lost.

    Return how many experiments and validations wait.
    """
    silence = timedelta(seconds=2 * SILENCE_S)
    # A clock that was set back leaves rows from the future.
    Worker.objects.filter(
        Q(heard_at__lt=Now() - silence) | Q(heard_at__gt=Now() + silence)
    ).delete()
    n_waiting = experiments_with_work("sweeper").count() + validations_with_work("sweeper").count()
    if n_waiting:
        n_busy = Worker.objects.alive().filter(is_busy=True).count()
        n_idle = Worker.objects.idle().count()
        # Whoever is busy looks for work afterwards. But a worker may have been lost while it was:
        # one message is sent in any case.
        courier.wake(max(1, n_idle if n_busy or n_idle else n_waiting))
    return n_waiting
