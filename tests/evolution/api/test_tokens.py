"""One's own tokens through the API: listed and revoked, never made."""

from __future__ import annotations

import pytest
from django.test import Client

from evolution.enums import Scope
from evolution.models import ApiToken, LogEntry
from tests.evolution.api.cast import bearer, token_of
from tests.evolution.api.conftest import Caller


def test_tokens_are_listed_without_their_secrets(member, other):
    secret = token_of(member.user, [Scope.READ])
    response = member("GET", "tokens/")
    latest, first = response.json()["results"]
    assert (latest["scopes"], latest["is_valid"]) == (["read"], True)
    assert secret.startswith(latest["hint"])
    assert secret not in response.content.decode()
    assert first["last_used_at"] is not None
    ids = {item["id"] for item in other("GET", "tokens/").json()["results"]}
    assert ids == set(ApiToken.objects.filter(owner=other.user).values_list("pk", flat=True))


def test_a_token_is_revoked_by_another_one_of_its_owner(member, other):
    secret = token_of(member.user, [Scope.READ])
    token = ApiToken.objects.filter(owner=member.user).latest("pk")
    assert other("DELETE", f"tokens/{token.pk}/").status_code == 404
    caller = Caller(Authorization=f"Bearer {secret}")
    assert caller("GET", "experiments/").status_code == 200
    assert member("DELETE", f"tokens/{token.pk}/").status_code == 204
    assert caller("GET", "experiments/").status_code == 401
    shown = {item["id"]: item for item in member("GET", "tokens/").json()["results"]}
    assert shown[token.pk]["is_valid"] is False
    assert LogEntry.objects.filter(action="token revoked", who="mia").count() == 1


@pytest.mark.parametrize("scope", list(Scope))
def test_every_token_may_revoke_itself(viewer, scope):
    """Also of a viewer: whoever finds one that has leaked makes it void with itself."""
    caller = Caller(**bearer(viewer.user, [scope]))
    own = ApiToken.objects.filter(owner=viewer.user).latest("pk")
    assert caller("DELETE", f"tokens/{own.pk}/").status_code == 204
    assert caller("DELETE", f"tokens/{own.pk}/").status_code == 401
    assert viewer("GET", "tokens/").status_code == 200


def test_a_token_that_reads_does_not_shut_out_the_others(member):
    kept = ApiToken.objects.get(owner=member.user)
    reading = Caller(**bearer(member.user, [Scope.READ]))
    assert reading("DELETE", f"tokens/{kept.pk}/").status_code == 403
    assert member("GET", "tokens/").status_code == 200


def test_no_token_makes_a_token(member):
    assert member("POST", "tokens/", {"name": "x", "scopes": ["read"]}).status_code == 405
    # Nor does it open the page that makes them.
    headers = bearer(member.user)
    made = Client().post("/account/tokens/new/", {"name": "x"}, headers=headers)
    assert (made.status_code, made.url.partition("?")[0]) == (302, "/sign-in/")


def test_visitors_have_none(visitor, settings):
    settings.E2L_PUBLIC = True
    assert visitor("GET", "tokens/").status_code == 401
    assert visitor("DELETE", "tokens/1/").status_code == 401
