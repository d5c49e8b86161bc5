"""The audit log: one function writes down who did what, when and from where."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from evolution.models import LogEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evolution.access import Person
    from evolution.enums import Action
    from evolution.models import Experiment

COMMAND_LINE, VISITOR = "command line", "visitor"

# Services take a person, not a request: the address of the request in hand is kept beside them.
_address: ContextVar[str | None] = ContextVar("address", default=None)


@contextmanager
def coming_from(address: str | None) -> Iterator[None]:
    """Note in all entries written meanwhile where the request came from."""
    token = _address.set(address)
    try:
        yield
    finally:
        _address.reset(token)


def record(
    action: Action,
    *,
    by: Person | None,
    experiment: Experiment | None = None,
    subject: str = "",
    detail: str = "",
) -> LogEntry:
    """Write down what somebody did.

    Parameters
    ----------
    by : user or None
        None for the command line.
    experiment : Experiment, optional
        What it was done to; its number and name are kept also when it is deleted.
    subject : str, optional
        What else it was done to.
    """
    is_account = by is not None and by.is_authenticated
    who = COMMAND_LINE if by is None else by.get_username() or VISITOR
    if experiment is not None and not subject:
        subject = f"experiment {experiment.pk} {experiment.name}"
    return LogEntry.objects.create(
        experiment=experiment,
        user=by if is_account else None,
        who=who[:150],
        action=action,
        subject=subject[:220],
        detail=detail[:200],
        address=_address.get(),
    )
