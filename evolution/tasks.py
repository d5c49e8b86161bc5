"""Celery tasks: messages in, one call of a service each."""

from __future__ import annotations

from celery import shared_task


@shared_task(name="evolution.work")
def work() -> None:
    """Look for work and do it for a slice of time."""
    from evolution.services import orders, work, workers
    from evolution.services.couriers import CeleryCourier

    if orders.obey():
        CeleryCourier().pass_on()
        return
    work.work(worker=workers.claim_name(), courier=CeleryCourier(), name=workers.own_name())


@shared_task(name="evolution.probe")
def probe(probe_id: int) -> None:
    """Do the simulation that a person asked for."""
    from evolution.services import orders, probes, workers
    from evolution.services.couriers import CeleryCourier

    if orders.obey():
        # The sweeper sends it again.
        return
    probes.run_probe(probe_id, worker=workers.claim_name())
    # This message may have stood for one that asks for work.
    CeleryCourier().wake(1)
