"""Accounts and the activity log through the API: for operators, and no way to a credential."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from evolution import access
from evolution.enums import Role, Scope
from evolution.models import LogEntry
from evolution.services import accounts
from tests.evolution.api.cast import bearer
from tests.evolution.api.conftest import Caller

USERS = get_user_model()


def role(name: str) -> Role:
    return access.role_of_account(USERS.objects.get(username=name))


def test_accounts_are_listed_with_their_roles(operator, viewer, member):
    accounts.set_active(viewer.user, False, by=None)
    found = operator("GET", "people/").json()
    assert found["count"] == 3
    shown = {item["name"]: (item["role"], item["is_active"]) for item in found["results"]}
    assert shown == {
        "mia": ("member", True), "olga": ("operator", True), "vera": ("viewer", False)
    }  # fmt: skip
    assert not any(item["has_password"] for item in found["results"])


def test_an_account_is_made_without_a_password(operator):
    made = operator("POST", "people/", {"name": "nils", "role": "viewer"})
    assert made.status_code == 201
    assert operator("GET", made.headers["Location"]).json() == made.json()
    user = USERS.objects.get(username="nils")
    assert (role("nils"), user.has_usable_password()) == (Role.VIEWER, False)
    # Nothing in the answer lets anybody sign in as him.
    assert set(made.json()) == {
        "id", "name", "role", "is_active", "has_password", "created_at", "last_sign_in"
    }  # fmt: skip
    entry = LogEntry.objects.latest("pk")
    assert (entry.who, entry.action, entry.subject) == ("olga", "account created", "account nils")


def test_a_name_is_given_once_unless_it_is_the_same_request(operator):
    key = {"Idempotency-Key": "k"}
    first = operator("POST", "people/", {"name": "nils"}, **key)
    again = operator("POST", "people/", {"name": "nils"}, **key)
    assert (again.status_code, again.json()) == (201, first.json())
    refused = operator("POST", "people/", {"name": "NILS"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/name")
    assert USERS.objects.filter(username__iexact="nils").count() == 1


def test_a_role_and_activity_are_changed_and_count_at_once(operator, member):
    path = f"people/{member.user.pk}/"
    body = {"learning_task": "error-driven", "expressions": ["u*s"]}
    assert member("POST", "rules/check/", body).status_code == 200
    assert operator("PATCH", path, {"role": "viewer"}).json()["role"] == "viewer"
    assert member("POST", "rules/check/", body).status_code == 403
    changed = operator("PATCH", path, {"role": "member", "is_active": False}).json()
    assert (changed["role"], changed["is_active"]) == ("member", False)
    assert member("GET", "experiments/").status_code == 401
    assert operator("PATCH", path, {"is_active": True}).status_code == 200
    assert member("GET", "experiments/").status_code == 200


@pytest.mark.parametrize("change", [{"role": "member"}, {"is_active": False}], ids=str)
def test_the_last_operator_stays_one(operator, change):
    refused = operator("PATCH", f"people/{operator.user.pk}/", change)
    assert refused.status_code == 409
    assert "only operator" in refused.json()["detail"]
    assert role("olga") is Role.OPERATOR
    assert USERS.objects.get(username="olga").is_active


def test_what_fails_changes_nothing_of_an_account(operator):
    """The role is changed before it is found that the account may not be deactivated."""
    path = f"people/{operator.user.pk}/"
    n_entries = LogEntry.objects.count()
    assert operator("PATCH", path, {"role": "operator", "is_active": False}).status_code == 409
    assert LogEntry.objects.count() == n_entries


OF_OPERATORS = [
    ("GET", "people/"), ("POST", "people/"), ("GET", "people/1/"), ("PATCH", "people/1/"),
    ("GET", "activity/"), ("GET", "operation/"), ("POST", "operation/drain/"),
    ("POST", "operation/resume/"), ("POST", "operation/restart/"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OF_OPERATORS, ids=" ".join)
def test_members_are_not_served_whatever_their_token_says(member, visitor, settings, method, path):
    settings.E2L_PUBLIC = True
    refused = member(method, path, {"name": "x", "role": "operator", "host": "h"})
    assert refused.status_code == 403
    assert refused.json()["detail"] == "Only operators may do this. Nothing was changed."
    assert visitor(method, path).status_code == 401


@pytest.mark.parametrize(("method", "path"), OF_OPERATORS, ids=" ".join)
def test_a_token_that_was_made_for_other_things_does_not_operate(operator, method, path):
    """Those that operators made for experiments do not open accounts and the activity log."""
    scopes = [Scope.READ, Scope.SIMULATE, Scope.CONTROL]
    refused = Caller(**bearer(operator.user, scopes))(method, path, {"name": "x", "host": "h"})
    assert refused.status_code == 403
    assert refused.json()["detail"] == "This token lacks the scope “operate”."
    assert USERS.objects.count() == 1


def test_the_activity_log_is_filtered(operator, member):
    operator("POST", "people/", {"name": "nils"})
    found = operator("GET", "activity/?who=olga&action=account created").json()
    assert [(item["who"], item["subject"]) for item in found["results"]] == [
        ("olga", "account nils")
    ]
    assert operator("GET", "activity/?since=2999-01-01").json()["count"] == 0
    refused = operator("GET", "activity/?since=2026-02-02&until=2026-01-01")
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (400, "until")
    assert operator("GET", "activity/?action=slept").status_code == 400
