"""The Celery application of the tests: the site's, with the tests' learning task.

With ``E2L_TEST_THREADS`` its workers are so many threads, which takes a learning task without NEST.
"""

import os

from celery.signals import worker_ready
from django.conf import settings

from e2l_site.celery import app
from tests.evolution import regression_task

regression_task.register()

N_THREADS = int(os.environ.get("E2L_TEST_THREADS", "0"))

if N_THREADS:
    pool = settings.DATABASES["default"]["OPTIONS"].get("pool")
    if pool:
        # Each thread has a connection, and another one while it simulates.
        pool["max_size"] = 2 * N_THREADS + 2


@worker_ready.connect
def introduce_threads(**_: object) -> None:
    """Tell how many workers will be there: threads tell themselves only once they work."""
    from evolution.services import workers

    for index in range(N_THREADS):
        workers.report(f"{workers.own_name()} thread {index}", is_busy=False)


__all__ = ["app"]
