"""Celery tasks: messages in, one call of a service each."""

from __future__ import annotations

from celery import Task, shared_task


@shared_task(bind=True, name="evolution.work_on_run")
def work_on_run(self: Task, run_id: int, ticket: int | None) -> None:
    """Work on a run for a slice of time; without a ticket, help whoever works on it."""
    from evolution.services import work
    from evolution.services.couriers import CeleryCourier

    worker = f"celery {self.request.id}"
    is_redelivered = bool((self.request.delivery_info or {}).get("redelivered"))
    if ticket is None or is_redelivered or work.take_ticket(run_id, ticket):
        work.work_on_run(
            run_id, worker=worker, courier=CeleryCourier(), n_workers=work.workers_per_run()
        )


@shared_task(name="evolution.sweep")
def sweep() -> None:
    """Ask again for workers where a message or a worker was lost."""
    from evolution.services import work
    from evolution.services.couriers import CeleryCourier

    courier = CeleryCourier()
    for run_id in work.stale_runs():
        courier.queue(run_id)
