"""Links and actions on several experiments through the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from evolution.enums import ExperimentState, Visibility
from evolution.models import ApiAnswer, Experiment, LogEntry, ShareLink
from evolution.services import sharing
from tests.evolution.api.cast import experiment_of


@pytest.fixture
def own(member):
    experiment = experiment_of(member.user, ExperimentState.FINISHED)
    sharing.set_visibility(experiment, Visibility.PRIVATE, by=member.user)
    return experiment


def test_a_link_opens_one_experiment_until_it_is_revoked(member, own):
    hidden = experiment_of(member.user, ExperimentState.FINISHED, name="Other")
    made = member("POST", f"experiments/{own.pk}/links/", {"label": "referee", "days": 7})
    assert made.status_code == 201
    address = made.json()["address"].removeprefix("http://testserver")
    expires_at = parse_datetime(made.json()["expires_at"])
    assert abs(expires_at - timezone.now() - timedelta(days=7)) < timedelta(minutes=1)
    guest = Client()
    assert guest.get(address).url == own.get_absolute_url()
    assert guest.get(own.get_absolute_url()).status_code == 200
    assert guest.get(hidden.get_absolute_url()).status_code == 404
    (listed,) = member("GET", f"experiments/{own.pk}/links/").json()["results"]
    assert (listed["label"], listed["created_by"], listed["is_valid"]) == ("referee", "mia", True)
    path = f"experiments/{own.pk}/links/{listed['id']}/"
    assert member("DELETE", path).status_code == 204
    assert guest.get(own.get_absolute_url()).status_code == 302
    (listed,) = member("GET", f"experiments/{own.pk}/links/").json()["results"]
    assert (listed["is_valid"], listed["revoked_at"] is not None) == (False, True)


def test_the_secret_of_a_link_is_kept_nowhere(member, own):
    """Also not as the answer to a request with an idempotency key."""
    path = f"experiments/{own.pk}/links/"
    made = member("POST", path, {}, **{"Idempotency-Key": "k"}).json()
    secret = made["address"].rstrip("/").rpartition("/")[2]
    assert len(secret) > 40
    assert not ApiAnswer.objects.exists()
    assert secret not in member("GET", path).content.decode()
    assert secret not in str([*ShareLink.objects.values(), *LogEntry.objects.values()])


def test_a_link_has_an_end_unless_it_is_wanted_without(member, own):
    path = f"experiments/{own.pk}/links/"
    assert member("POST", path, {"days": None}).json()["expires_at"] is None
    assert member("POST", path, {}).json()["expires_at"] is not None
    for days in (0, 366, "x"):
        assert member("POST", path, {"days": days}).status_code == 422
    assert ShareLink.objects.count() == 2


def test_others_neither_see_nor_make_links(member, other, own):
    shown = experiment_of(member.user, ExperimentState.FINISHED)
    link, _ = sharing.create_link(shown, by=member.user)
    for experiment, status in ((own, 404), (shown, 403)):
        assert other("GET", f"experiments/{experiment.pk}/links/").status_code == status
        assert other("POST", f"experiments/{experiment.pk}/links/", {}).status_code == status
    assert other("DELETE", f"experiments/{shown.pk}/links/{link.pk}/").status_code == 403
    # A link of another experiment is none of this one.
    assert member("DELETE", f"experiments/{own.pk}/links/{link.pk}/").status_code == 404
    assert ShareLink.objects.active().get() == link


def test_several_are_changed_as_far_as_their_states_allow(member):
    states = [ExperimentState.FINISHED, ExperimentState.RUNNING, ExperimentState.STOPPED]
    made = [experiment_of(member.user, state, with_history=False) for state in states]
    body = {"action": "archive", "experiments": [experiment.pk for experiment in made]}
    outcomes = member("POST", "experiments/bulk/", body).json()
    assert [(item["experiment"], item["is_done"]) for item in outcomes] == [
        (made[0].pk, True), (made[1].pk, False), (made[2].pk, True)
    ]  # fmt: skip
    assert "running" in outcomes[1]["detail"]
    assert outcomes[0]["detail"] == ""
    assert set(Experiment.objects.archived()) == {made[0], made[2]}
    assert member("POST", "experiments/bulk/", {**body, "action": "delete"}).status_code == 200
    assert Experiment.objects.get() == made[1]


def test_several_are_changed_by_nobody_who_may_not_change_all(member, other):
    mine = experiment_of(other.user, ExperimentState.FINISHED)
    shown = experiment_of(member.user, ExperimentState.FINISHED)
    hidden = experiment_of(member.user, ExperimentState.FINISHED)
    sharing.set_visibility(hidden, Visibility.PRIVATE, by=member.user)
    body = {"action": "delete", "experiments": [mine.pk, shown.pk]}
    assert other("POST", "experiments/bulk/", body).status_code == 403
    body = {"action": "delete", "experiments": [mine.pk, hidden.pk]}
    refused = other("POST", "experiments/bulk/", body)
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"pointer": "/experiments/1", "detail": f"There is no experiment {hidden.pk}."}
    ]
    assert Experiment.objects.count() == 3


@pytest.mark.parametrize(
    "body",
    [
        {"action": "launch", "experiments": [1]},
        {"action": "pause", "experiments": []},
        {"action": "pause"},
        {"action": "pause", "experiments": [2**70]},
        {"action": "pause", "experiments": list(range(1, 502))},
    ],
    ids=["action", "none", "left out", "large", "many"],
)
def test_what_is_no_list_of_experiments_is_refused(member, body):
    assert member("POST", "experiments/bulk/", body).status_code == 422
