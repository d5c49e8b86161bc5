"""Who may use the API: tokens, their scopes, sessions, roles, and what is private."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from evolution.enums import ExperimentState, Scope, Visibility
from evolution.models import (
    ApiToken,
    Evaluation,
    EvaluationContext,
    Experiment,
    Individual,
    LogEntry,
)
from evolution.services import sharing, tokens
from tests.evolution.api.cast import account, bearer, experiment_of
from tests.evolution.api.conftest import Caller


def test_a_visitor_is_asked_for_a_token(visitor):
    response = visitor("GET", "experiments/")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="e2l"'
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == 401


def test_a_public_site_is_read_by_visitors_and_changed_by_nobody(visitor, member, settings):
    settings.E2L_PUBLIC = True
    shown = experiment_of(member.user, ExperimentState.PAUSED)
    assert visitor("GET", f"experiments/{shown.pk}/").json()["actions"] == []
    assert visitor("POST", f"experiments/{shown.pk}/resume/").status_code == 401
    shown.refresh_from_db()
    assert shown.state == "paused"


@pytest.mark.parametrize("change", ["revoked", "expired", "deactivated", "cut off"])
def test_a_token_that_is_void_is_refused(db, change):
    user = account("mia")
    token, secret = tokens.create_token(
        user, name="notebook", scopes=[Scope.READ], lifetime=timedelta(days=1)
    )
    caller = Caller(Authorization=f"Bearer {secret}")
    assert caller("GET", "experiments/").status_code == 200
    if change == "revoked":
        tokens.revoke_token(token, by=user)
    elif change == "expired":
        ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif change == "deactivated":
        user.is_active = False
        user.save()
    else:
        caller = Caller(Authorization=f"Bearer {secret[:-1]}")
    response = caller("GET", "experiments/")
    assert (response.status_code, response.json()["detail"]) == (
        401,
        "This token is not valid: it was revoked, has expired or is cut off.",
    )


def test_the_secret_is_kept_nowhere_and_its_use_is_noted(db):
    user = account("mia")
    _, secret = tokens.create_token(user, name="notebook", scopes=[Scope.READ], lifetime=None)
    Caller(Authorization=f"Bearer {secret}")("GET", "")
    token = ApiToken.objects.get()
    assert secret not in str(ApiToken.objects.values().get())
    assert secret not in str(list(LogEntry.objects.values()))
    assert secret.startswith(token.hint)
    assert timezone.now() - token.last_used_at < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ([Scope.READ], (200, 403, 403)),
        ([Scope.SIMULATE], (403, 200, 403)),
        ([Scope.CONTROL], (403, 403, 200)),
    ],
    ids=["read", "simulate", "control"],
)
def test_a_token_does_what_its_scopes_say(member, scopes, expected):
    caller = Caller(**bearer(member.user, scopes))
    own = experiment_of(member.user, ExperimentState.PAUSED)
    rule = {"learning_task": "error-driven", "expressions": ["(v - u)*s"]}
    found = (
        caller("GET", f"experiments/{own.pk}/").status_code,
        caller("POST", "rules/check/", rule).status_code,
        caller("POST", f"experiments/{own.pk}/stop/").status_code,
    )
    assert found == expected


def test_a_viewer_changes_nothing_whatever_the_token_says(viewer):
    body = {"learning_task": "error-driven"}
    for path, sent in (
        ("experiments/", body),
        ("rules/", {**body, "expressions": ["u*s"]}),
        ("simulations/", {**body, "expressions": ["u*s"]}),
    ):
        response = viewer("POST", path, sent)
        assert response.status_code == 403, path
        assert "Nothing was changed" in response.json()["detail"]
    assert not Experiment.objects.exists()


def test_what_is_private_is_not_there_for_others(member, other):
    hidden = experiment_of(member.user, ExperimentState.FINISHED, name="Secret")
    sharing.set_visibility(hidden, Visibility.PRIVATE, by=member.user)
    paths = ["", "runs/", "runs/1/", "runs/1/generations/", "runs/1/individuals/", "log/",
             "runs/1/individuals/0/", "runs/1/lineage/", "failures/", "history.csv"]  # fmt: skip
    for path in paths:
        address = f"experiments/{hidden.pk}/{path}"
        assert member("GET", address).status_code == 200, path
        assert other("GET", address).status_code == 404, path
    assert other("POST", f"experiments/{hidden.pk}/archive/").status_code == 404
    assert other("DELETE", f"experiments/{hidden.pk}/").status_code == 404
    assert other("GET", "experiments/").json()["count"] == 0
    assert other("GET", f"comparison/?experiment={hidden.pk}").status_code == 404
    assert member("GET", "experiments/").json()["count"] == 1


def test_what_others_own_is_read_and_not_changed(member, other):
    shown = experiment_of(member.user, ExperimentState.PAUSED)
    address = f"experiments/{shown.pk}/"
    assert other("GET", address).json()["actions"] == []
    assert "resume" in member("GET", address).json()["actions"]
    for method, path, body in (
        ("POST", f"{address}resume/", None),
        ("POST", f"{address}extend/", {"n_runs": 3}),
        ("PATCH", address, {"notes": "mine"}),
        ("DELETE", address, None),
    ):
        response = other(method, path, body)
        assert response.status_code == 403
        assert "belongs to mia" in response.json()["detail"]
    shown.refresh_from_db()
    assert (shown.state, shown.notes, shown.n_runs) == ("paused", "", 2)


def test_the_details_of_a_failure_are_for_operators(member, operator):
    """They may hold paths and versions of the machine."""
    own = experiment_of(member.user, ExperimentState.FINISHED)
    individual = Individual.objects.filter(run__experiment=own).order_by("run", "index").first()
    individual.evaluation = Evaluation.objects.create(
        context=EvaluationContext.objects.create(
            digest="c", learning_task_name="error-driven", task_parameters={}, seed=1
        ),
        rule=individual.rule,
        reason="crash",
        detail="Traceback of /srv/e2l",
    )
    individual.save()
    path = f"experiments/{own.pk}/runs/1/individuals/{individual.index}/"
    assert member("GET", path).json()["detail"] == ""
    assert operator("GET", path).json()["detail"] == "Traceback of /srv/e2l"


def test_a_session_serves_our_own_pages_and_no_others(db):
    user = account("mia")
    own = experiment_of(user, ExperimentState.PAUSED)
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.get("/api/v1/experiments/").status_code == 200
    stop = f"/api/v1/experiments/{own.pk}/stop/"
    refused = client.post(stop, content_type="application/json")
    assert refused.status_code == 403
    assert refused.headers["Content-Type"] == "application/problem+json"
    token = str(client.get("/account/tokens/").context["csrf_token"])
    done = client.post(stop, content_type="application/json", headers={"X-CSRFToken": token})
    assert done.json()["state"] == "stopped"


def test_the_root_says_who_asks(visitor, viewer):
    assert visitor("GET", "").json()["account"] is None
    account_of_viewer = viewer("GET", "").json()["account"]
    assert (account_of_viewer["name"], account_of_viewer["role"]) == ("vera", "viewer")
