"""What every template knows of the person who reads it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from evolution import access

if TYPE_CHECKING:
    from django.http import HttpRequest

    from evolution.access import Person
    from evolution.models import Experiment


class May:
    """What somebody may do, asked by templates as ``may.simulate``."""

    def __init__(self, user: Person) -> None:
        self._user = user

    @cached_property
    def browse(self) -> bool:
        """Read what the laboratory may read."""
        return access.may_browse(self._user)

    @cached_property
    def simulate(self) -> bool:
        """Launch experiments and simulations."""
        return access.may_simulate(self._user)

    @cached_property
    def operate(self) -> bool:
        """Do everything."""
        return access.is_operator(self._user)


def permissions(request: HttpRequest) -> dict[str, May]:
    """Return what the reader of a page may do."""
    return {"may": May(request.user)} if hasattr(request, "user") else {}


def of_experiment(user: Person, experiment: Experiment) -> dict[str, bool]:
    """Return what somebody may do with an experiment."""
    return {"may_change": access.may_change(user, experiment)}
