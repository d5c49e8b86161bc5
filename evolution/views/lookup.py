"""What addresses name, as far as somebody may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.http import Http404

from evolution import access
from evolution.models import Experiment, Rule
from evolution.views.guards import check_may_change

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import User
    from django.http import HttpRequest

    from evolution.access import Person

#: Pages of a list beyond are not served: who looks for something far down filters.
MAX_PAGE = 200


def experiment_or_404(pk: int, user: Person) -> Experiment:
    """Return an experiment with its owner, or end the request with a page that says what is not."""
    try:
        visible = access.visible_experiments(user)
        return visible.select_related("owner", "original", "context").get(pk=pk)
    except Experiment.DoesNotExist:
        raise Http404(f"There is no experiment {pk}.") from None


def experiment_to_change(pk: int, user: Person) -> Experiment:
    """Return an experiment that somebody may change; answer 404 or 403 otherwise."""
    experiment = experiment_or_404(pk, user)
    check_may_change(user, experiment)
    return experiment


def experiments_among(numbers: Iterable[int], user: Person) -> list[Experiment]:
    """Return those of some experiments that somebody may see, by their numbers."""
    visible = access.visible_experiments(user).select_related("owner")
    return list(visible.filter(pk__in=list(numbers)).order_by("pk"))


def rule_or_404(pk: int, user: Person) -> Rule:
    """Return a rule, or end the request with a page that says what is not."""
    try:
        return access.visible_rule(user, pk)
    except Rule.DoesNotExist:
        raise Http404(f"There is no rule {pk}.") from None


def account_or_404(pk: int) -> User:
    """Return an account with its role, or end the request with a page that says what is not."""
    users = get_user_model()
    try:
        return access.with_role(users.objects).get(pk=pk)
    except users.DoesNotExist:
        raise Http404(f"There is no account {pk}.") from None


def page_number(request: HttpRequest) -> int:
    """Return the page of a list that an address asks for, the first one if that is none."""
    text = request.GET.get("page", "")
    is_number = text.isascii() and text.isdigit() and len(text) < 6
    return min(max(1, int(text)), MAX_PAGE) if is_number else 1
