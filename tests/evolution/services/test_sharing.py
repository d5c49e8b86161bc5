"""What private experiments find stays private until the laboratory finds it, or is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser

from evolution import access, catalogue
from evolution.enums import Role, Visibility
from evolution.models import EvaluationContext, Experiment, Individual, Rule
from evolution.services import accounts, sharing
from tests.evolution import histories
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


@pytest.mark.parametrize("is_public", [False, True])
@pytest.mark.parametrize("visibility", list(Visibility))
def test_who_may_read_an_experiment_finds_it_among_the_visible_ones(
    settings, visibility, is_public
):
    settings.E2L_PUBLIC = is_public
    owner = accounts.create_account("owner", Role.MEMBER, by=None)
    experiment = histories.make_experiment(visibility=visibility)
    experiment.owner = owner
    experiment.save()
    former = accounts.create_account("former", Role.MEMBER, by=None)
    former.is_active = False
    guest, people = AnonymousUser(), [owner, former, AnonymousUser()]
    guest.shared_experiments = frozenset([experiment.pk])
    people += [guest, *(accounts.create_account(role, role, by=None) for role in Role)]
    answers = [access.may_read(person, experiment) for person in people]
    found = [access.visible_experiments(p).filter(pk=experiment.pk).exists() for p in people]
    assert answers == found
    assert (answers[0], answers[3]) == (True, True)
