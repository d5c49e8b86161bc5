"""What private experiments find stays private until the laboratory finds it, or is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from evolution import catalogue
from evolution.enums import Visibility
from evolution.models import EvaluationContext, Experiment, Individual, Rule
from evolution.services import sharing
from tests.evolution.conftest import launch, work_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


@pytest.fixture
def private(make_experiment: Callable[..., Experiment]) -> Experiment:
    experiment = make_experiment()
    Experiment.objects.update(visibility=Visibility.PRIVATE)
    launch(experiment)
    work_until_idle()
    experiment.refresh_from_db()
    return experiment


def listed() -> set[str]:
    """Return the classes of the whole catalogue."""
    criteria = catalogue.Criteria()
    classes, _ = catalogue.rule_classes(
        criteria, offset=0, limit=1000, visible=Experiment.objects.all()
    )
    return {item.rule.fingerprint for item in classes}


def found_by(experiment: Experiment) -> set[str]:
    individuals = Individual.objects.filter(run__experiment=experiment, rule__isnull=False)
    return set(individuals.values_list("rule__fingerprint", flat=True))


def test_rules_and_trials_of_a_private_experiment_are_not_in_the_catalogue(private):
    assert len(found_by(private)) > 5
    assert not Rule.objects.shared().exists()
    assert not EvaluationContext.objects.filter(shared_at__isnull=False).exists()
    assert listed() == set()


def test_what_a_shared_experiment_finds_again_is_known_from_then_on(private, make_experiment):
    again = make_experiment()
    launch(again)
    work_until_idle()
    # The same seed: the cache answers everything, and the history is the same.
    assert found_by(again) == found_by(private)
    # And the rules of the literature, which it is compared with.
    assert found_by(again) <= listed()
    assert not Rule.objects.filter(shared_at__isnull=True).exists()
    assert not EvaluationContext.objects.filter(shared_at__isnull=True).exists()


def test_an_experiment_that_is_opened_brings_its_rules_and_trials_along(private):
    sharing.set_visibility(private, Visibility.LABORATORY, by=None)
    assert found_by(private) <= listed()
    assert not EvaluationContext.objects.filter(shared_at__isnull=True).exists()
    sharing.set_visibility(private, Visibility.PRIVATE, by=None)
    assert found_by(private) <= listed()
