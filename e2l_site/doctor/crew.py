"""Are there workers, do they run this code, and what have they left behind?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import Error
from django.utils import timezone

from e2l_site.doctor.findings import (
    Finding,
    configured_settings,
    failure,
    first_line,
    ok,
    some,
    warning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: Leases that are over for longer than the sweeper takes to notice, in s.
_STALE_S = 60.0


def check_workers() -> Iterator[Finding]:
    """Look who is there, whether they run this code, and what they have left behind."""
    configured_settings()
    try:
        yield from _check_workers()
    except Error as error:
        yield failure(
            "workers", f"Nothing is known of them: {first_line(error)}", "Mend the database first."
        )


def _check_workers() -> Iterator[Finding]:
    from evolution import operation
    from evolution.services.evaluations import engine_version

    hosts = operation.hosts()
    known = [worker for host in hosts for worker in host.workers]
    silent = [worker for worker in known if operation.is_silent(worker)]
    alive = [worker for worker in known if not operation.is_silent(worker)]
    if not alive:
        yield warning(
            "workers",
            "No worker is there: experiments wait.",
            "make up starts some; make worker does on other machines.",
        )
    else:
        yield ok("workers", f"{len(alive)} workers are there.")
    if silent:
        yield warning(
            "silent workers",
            f"{len(silent)} were not heard of lately: {some([w.name for w in silent])}.",
            "The sweeper forgets them within two minutes; does it run (manage.py sweeper)?",
        )
    for host in hosts:
        if host.is_drained:
            yield warning(
                "drained host",
                f"{host.name} is drained: its workers take no work.",
                f"When it may work again: manage.py workers resume {host.name}.",
            )
    others = [worker for worker in alive if worker.engine_version != engine_version()]
    if others:
        names = some([f"{worker.name} ({worker.engine_version or 'unknown'})" for worker in others])
        yield failure(
            "engine version",
            f"{len(others)} workers run another version than this code: {names}. What they compute "
            "does not serve the others.",
            "Bring their code and packages up to date, then manage.py workers restart HOST.",
        )
    stale = [
        demand
        for demand in operation.stale_leases(100)
        if _age_s(demand.evaluation.lease_expires_at) > _STALE_S
    ]
    if stale:
        yield failure(
            "stale leases",
            f"{len(stale)} evaluations belong to workers that fell silent long ago, such as "
            f"{stale[0].evaluation.claimed_by}; nobody has taken over.",
            "Are there workers, and does the sweeper run (manage.py sweeper)?",
        )
    quiet = operation.quiet_runs(100)
    if quiet:
        yield warning(
            "quiet runs",
            f"{len(quiet)} runs have completed no generation for more than ten minutes, such as "
            f"{quiet[0]}.",
            "Look at the page Operation and at the log of the workers.",
        )


def _age_s(moment: datetime) -> float:
    return (timezone.now() - moment).total_seconds()
