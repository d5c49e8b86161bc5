"""The Celery application: its workers run evolution's slices of work."""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.bootsteps import StartStopStep
from celery.signals import (
    before_task_publish,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutting_down,
)
from kombu import Connection

from e2l_site import logs
from evolution import tracing

if TYPE_CHECKING:
    from celery.worker.consumer import Consumer

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")

#: Longest time between two attempts of a worker to reach the broker, in s.
_LONGEST_PAUSE_S = 5.0
#: Time between two looks of a worker at what its children have read, in s.
_LOOK_S = 0.5


class _SteadyConnection(Connection):
    """Looks for a broker that is away as often after an hour as after a minute.

    Celery waits up to 30 s between two attempts and has no setting for it.
    """

    def ensure_connection(self, *args: Any, **options: Any) -> Connection:
        options.setdefault("interval_max", _LONGEST_PAUSE_S)
        return super().ensure_connection(*args, **options)


class _SteadyAMQP(AMQP):
    Connection = _SteadyConnection


app = Celery("e2l_site", amqp=_SteadyAMQP)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    result_serializer="json",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    # NEST keeps memory of models and compiled rules: children are replaced before that matters.
    worker_max_tasks_per_child=500,
    worker_max_memory_per_child=1_500_000,
    worker_hijack_root_logger=False,
    # A child that loads the simulator on a busy machine is not dead.
    worker_proc_alive_timeout=60.0,
    # A broker that is away for long comes back some day.
    broker_connection_max_retries=None,
)
app.autodiscover_tasks()


class _Orders(StartStopStep):
    """Has a worker do what operators ask of it: see :mod:`evolution.services.orders`."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Consumer) -> None:
        self._timer = parent.timer.call_repeatedly(_LOOK_S, self._look, (parent,))

    def stop(self, parent: Consumer) -> None:
        self._timer.cancel()

    def _look(self, consumer: Consumer) -> None:
        from evolution.services import closing

        queue = app.conf.task_default_queue
        is_listening = bool(consumer.task_consumer.consuming_from(queue))
        if closing.is_to_restart() and not closing.has_begun():
            restart()
        elif closing.is_drained() and is_listening:
            consumer.cancel_task_queue(queue)
        elif not closing.is_drained() and not is_listening:
            consumer.add_task_queue(queue)


app.steps["consumer"].add(_Orders)


def restart() -> None:
    """End as when told to, and then run the same command again in this process."""
    logging.getLogger(__name__).info("Restarts as an operator has asked for")
    atexit.register(os.execv, sys.executable, [sys.executable, *sys.orig_argv[1:]])
    os.kill(os.getpid(), signal.SIGTERM)


@setup_logging.connect
def keep_logging(**_: object) -> None:
    """Leave the log as the settings have it: that this is connected keeps Celery from it."""


@before_task_publish.connect
def send_ids(headers: dict[str, Any], **_: object) -> None:
    """Let a message take along what its sender does."""
    if ids := logs.request_ids():
        headers[logs.MESSAGE_HEADER] = ids


@task_prerun.connect
def begin_task(task_id: str, task: Any, **_: object) -> None:
    """Have the log tell to which task, message and request its lines belong."""
    root = task.request.root_id
    tracing.begin(
        **(task.request.get(logs.MESSAGE_HEADER) or {}),
        task=task_id,
        root=root if root != task_id else None,
    )


@task_postrun.connect
def end_task(**_: object) -> None:
    """Leave nothing of it to the next one."""
    tracing.begin()


@worker_init.connect
def prepare(**_: object) -> None:
    """Make what this worker shares with its children."""
    from evolution.services import closing

    closing.prepare()


@worker_shutting_down.connect
def close(**_: object) -> None:
    """Let the children end after their trial; those that do not may be killed for it."""
    from billiard import active_children

    from evolution.services import closing, workers

    closing.begin()
    pids = [child.pid for child in active_children()]
    # This is called by a signal: the database may be slow to answer.
    threading.Thread(target=workers.blame_nobody, args=(pids,), daemon=True).start()


@worker_process_init.connect
def warm_up(**_: object) -> None:
    """Load the simulator in each child, never before the fork: NEST is one kernel per process."""
    from billiard import current_process

    from evolution.services import watchdog, workers
    from evolution.services.couriers import CeleryCourier
    from evolution.services.simulator import load_simulator

    if current_process().name != "MainProcess":
        # A batch system signals all processes of a job. Only the worker is to be told to end: it
        # lets its children finish their trial.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    watchdog.arm(workers.process_name())
    # This child may have taken the place of one that was killed.
    workers.free_claims_of_the_dead(CeleryCourier())
    try:
        load_simulator()
        # With hal-cgp and all that it needs, for which else the first generation would wait.
        importlib.import_module("evolution.services.work")
    except Exception:
        # Reported where it matters: the run that needs the simulator says what is missing.
        logging.getLogger(__name__).exception("The simulator cannot be loaded")
    # What is loaded stays: to look through all of it for garbage takes a tenth of a second, and is
    # due only when a quarter as much has come up again.
    gc.collect()
    gc.freeze()
    workers.stay()


@worker_process_shutdown.connect
def leave(**_: object) -> None:
    """Tell that this child is gone; one that is killed is missed some time later."""
    from evolution.services import watchdog, workers

    watchdog.disarm(workers.process_name())
    workers.leave(workers.own_name())
