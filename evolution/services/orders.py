"""Orders: what operators ask of the workers of a host, and how these come to know it.

A drained host's workers finish the slice they are in, take no more and wait; those that start there
later wait as well. Workers that are restarted finish their trial and load their code anew.
"""

from __future__ import annotations

import logging
import platform
from typing import TYPE_CHECKING

from django.db import Error
from django.db.models import F
from django.db.models.functions import Now

from evolution.errors import StateConflict
from evolution.models import Worker, WorkerHost
from evolution.services import closing

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

logger = logging.getLogger(__name__)

#: Time after which a worker that waits has read what is asked of it, in s.
INTERVAL_S = 5.0


def own_host() -> str:
    """Return the name of this computer, or container, among the workers' hosts."""
    return platform.node()[:100]


def known_hosts() -> list[str]:
    """Return the hosts that have workers, or have orders."""
    names = set(Worker.objects.values_list("host", flat=True).distinct())
    return sorted(names | set(WorkerHost.objects.values_list("name", flat=True)))


def drain(host: str, *, by: AbstractBaseUser | None = None) -> None:
    """Ask the workers of a host to take no more work.

    Raises
    ------
    StateConflict
        If the host is drained already, or unknown.
    """
    _change(host, by, is_drained=True)


def resume(host: str, *, by: AbstractBaseUser | None = None) -> None:
    """Let the workers of a drained host work again.

    Raises
    ------
    StateConflict
        If the host is not drained, or unknown.
    """
    _change(host, by, is_drained=False)


def restart(host: str, *, by: AbstractBaseUser | None = None) -> None:
    """Ask the workers of a host to end after their trial and to start anew.

    Raises
    ------
    StateConflict
        If the host is unknown, or has no worker.
    """
    _check(host)
    if not Worker.objects.alive().filter(host=host).exists():
        raise StateConflict(
            f"No worker of {host} was heard of lately: there is nothing to restart."
        )
    WorkerHost.objects.filter(name=host).update(
        n_restarts=F("n_restarts") + 1, changed_by=by, changed_at=Now()
    )


def _change(host: str, by: AbstractBaseUser | None, *, is_drained: bool) -> None:
    _check(host)
    changed = WorkerHost.objects.filter(name=host, is_drained=not is_drained).update(
        is_drained=is_drained, changed_by=by, changed_at=Now()
    )
    if not changed:
        state = "drained already" if is_drained else "not drained"
        raise StateConflict(f"{host} is {state}. Nothing was changed.")


def _check(host: str) -> None:
    """Make sure that there is a row for a host that has workers."""
    # Not looked up: a name that somebody typed may be a text that no database has.
    if host not in known_hosts():
        raise StateConflict(f"There is no host {host!r} with workers.")
    WorkerHost.objects.get_or_create(name=host)


def obey() -> bool:
    """Read what is asked of this host and pass it on to the worker; return whether it is drained.

    Without an answer of the database everything stays as it is.
    """
    try:
        found = (
            WorkerHost.objects.filter(name=own_host())
            .values_list("is_drained", "n_restarts")
            .first()
        )
    except Error as error:
        logger.warning("What is asked of this worker could not be read: %s", error)
        return closing.is_drained()
    is_drained, n_restarts = found or (False, 0)
    closing.pass_on(is_drained=is_drained, n_restarts=n_restarts)
    return is_drained
