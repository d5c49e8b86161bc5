"""The Celery application: its workers run evolution's slices of work."""

from __future__ import annotations

import logging
import os

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")

app = Celery("e2l_site")
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


@worker_process_init.connect
def warm_up(**_: object) -> None:
    """Load the simulator in each child, never before the fork: NEST is one kernel per process."""
    from evolution.services import watchdog, workers
    from evolution.services.simulator import load_simulator

    watchdog.arm()
    try:
        load_simulator()
    except Exception:
        # Reported where it matters: the run that needs the simulator says what is missing.
        logging.getLogger(__name__).exception("The simulator cannot be loaded")
    workers.stay()


@worker_process_shutdown.connect
def leave(**_: object) -> None:
    """Tell that this child is gone; one that is killed is missed some time later."""
    from evolution.services import workers

    workers.leave(workers.own_name())
