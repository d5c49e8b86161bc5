"""Celery tasks: messages in, one call of a service each."""

from __future__ import annotations

from celery import Task, shared_task


@shared_task(bind=True, name="evolution.work")
def work(self: Task) -> None:
    """Look for work and do it for a slice of time."""
    from evolution.services import work, workers
    from evolution.services.couriers import CeleryCourier

    work.work(worker=f"celery {self.request.id}", courier=CeleryCourier(), name=workers.own_name())
