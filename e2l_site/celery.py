"""The Celery application: its workers run evolution's slices of work."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import (
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutting_down,
)
from kombu import Connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")

#: Longest time between two attempts of a worker to reach the broker, in s.
_LONGEST_PAUSE_S = 5.0


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
    from evolution.services import watchdog, workers
    from evolution.services.couriers import CeleryCourier
    from evolution.services.simulator import load_simulator

    watchdog.arm(workers.process_name())
    # This child may have taken the place of one that was killed.
    workers.free_claims_of_the_dead(CeleryCourier())
    try:
        load_simulator()
    except Exception:
        # Reported where it matters: the run that needs the simulator says what is missing.
        logging.getLogger(__name__).exception("The simulator cannot be loaded")
    workers.stay()


@worker_process_shutdown.connect
def leave(**_: object) -> None:
    """Tell that this child is gone; one that is killed is missed some time later."""
    from evolution.services import watchdog, workers

    watchdog.disarm(workers.process_name())
    workers.leave(workers.own_name())
