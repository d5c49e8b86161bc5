"""The page of one's tokens."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from evolution.enums import Role
from evolution.models import ApiToken, LogEntry
from tests.evolution.api.cast import account

pytestmark = pytest.mark.django_db
PATH = "/account/tokens/"


def client_of(name: str, role: Role = Role.MEMBER) -> Client:
    client = Client()
    client.force_login(account(name, role))
    return client


def make(client: Client, **changes: object) -> object:
    data = {"name": "notebook", "scopes": ["read", "control"], "days": "30", **changes}
    return client.post(f"{PATH}new/", data)


def test_a_token_is_shown_once_works_and_is_revoked():
    client = client_of("mia")
    html = make(client).content.decode()
    (secret,) = re.findall(r"e2l_[\w-]{43}", html)
    page = client.get(PATH).content.decode()
    assert ">notebook<" in page
    assert secret not in page
    headers = {"Authorization": f"Bearer {secret}"}
    assert Client().get("/api/v1/experiments/", headers=headers).status_code == 200
    token = ApiToken.objects.get()
    assert token.scopes == ["read", "control"]
    assert abs(token.expires_at - token.created_at - timedelta(days=30)) < timedelta(minutes=1)
    client.post(f"{PATH}{token.pk}/revoke/")
    assert Client().get("/api/v1/experiments/", headers=headers).status_code == 401
    assert "revoked" in client.get(PATH).content.decode()
    assert list(LogEntry.objects.values_list("action", "who").order_by("pk"))[-2:] == [
        ("token made", "mia"),
        ("token revoked", "mia"),
    ]


def test_others_neither_see_nor_revoke_it():
    make(client_of("mia"))
    token = ApiToken.objects.get()
    other = client_of("otto")
    assert ">notebook<" not in other.get(PATH).content.decode()
    assert other.post(f"{PATH}{token.pk}/revoke/").status_code == 404
    assert ApiToken.objects.active().count() == 1


@pytest.mark.parametrize(
    "changes", [{"name": ""}, {"scopes": []}, {"scopes": ["all"]}, {"days": "9999"}],
    ids=["no name", "no scope", "unknown scope", "too long"],
)  # fmt: skip
def test_what_does_not_fit_makes_no_token(changes):
    assert make(client_of("mia"), **changes).status_code == 422
    assert not ApiToken.objects.exists()


def test_a_viewer_makes_tokens_to_read_only():
    viewer = client_of("vera", Role.VIEWER)
    assert make(viewer).status_code == 422
    assert make(viewer, scopes=["read"]).status_code == 201
