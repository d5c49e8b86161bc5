"""What addresses name."""

from __future__ import annotations

from django.http import Http404

from evolution.models import Experiment, Rule


def experiment_or_404(pk: int) -> Experiment:
    """Return an experiment with its owner, or end the request with a page that says what is not."""
    try:
        return Experiment.objects.select_related("owner", "original", "context").get(pk=pk)
    except (Experiment.DoesNotExist, OverflowError):
        raise Http404(f"There is no experiment {pk}.") from None


def rule_or_404(pk: int) -> Rule:
    """Return a rule, or end the request with a page that says what is not."""
    try:
        return Rule.objects.get(pk=pk)
    except (Rule.DoesNotExist, OverflowError):
        raise Http404(f"There is no rule {pk}.") from None
