"""What a view asks of people before it begins: read by the sign-in middleware, and 403 pages.

A view without a mark needs an account. What somebody may see of what it shows is asked of
:mod:`evolution.access` in the view, where the experiment is known.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import PermissionDenied

from evolution import access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.http import HttpRequest, HttpResponse

    from evolution.access import Person
    from evolution.models import Experiment

    View = Callable[..., HttpResponse]

_AUDIENCE = "audience"
_PUBLIC, _LINK_HOLDERS = "public", "link holders"


def open_to_the_public(view: View) -> View:
    """Let visitors read a page where the site is public."""
    setattr(view, _AUDIENCE, _PUBLIC)
    return view


def open_to_link_holders(view: View) -> View:
    """Let visitors read a page about one experiment, also those who have a link to it."""
    setattr(view, _AUDIENCE, _LINK_HOLDERS)
    return view


def is_open_to(visitor: Person, view: View) -> bool:
    """Whether somebody without an account may come to a view."""
    audience = getattr(view, _AUDIENCE, None)
    if audience is None:
        return False
    has_link = bool(getattr(visitor, "shared_experiments", ()))
    return settings.E2L_PUBLIC or (audience == _LINK_HOLDERS and has_link)


def for_members(view: View) -> View:
    """Answer 403 to those who may not launch anything."""
    return _only(
        view, access.may_simulate, "Your account may read, but not launch or change things."
    )


def for_operators(view: View) -> View:
    """Answer 403 to those who do not run the site."""
    return _only(view, access.is_operator, "Only operators may do this.")


def check_may_change(user: Person, experiment: Experiment) -> None:
    """Raise PermissionDenied with a sentence if somebody may not change an experiment."""
    if access.may_change(user, experiment):
        return
    owner = experiment.owner.get_username() if experiment.owner else "nobody of the laboratory"
    raise PermissionDenied(
        f"The experiment “{experiment.name}” belongs to {owner}: only its owner and operators may "
        "change it. Nothing was changed."
    )


def check_may_change_all(user: Person, experiments: Iterable[Experiment]) -> None:
    """Raise PermissionDenied if somebody may not change one of several experiments."""
    for experiment in experiments:
        check_may_change(user, experiment)


def _only(view: View, is_allowed: Callable[[Person], bool], message: str) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponse:
        if not is_allowed(request.user):
            raise PermissionDenied(f"{message} Nothing was changed.")
        return view(request, *arguments, **options)

    return guarded
