"""The Celery application of the tests: the site's, with the tests' learning task."""

from e2l_site.celery import app
from tests.evolution import regression_task

regression_task.register()

__all__ = ["app"]
