"""People with tokens, and requests as they send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from evolution.enums import Role
from tests.evolution.api.cast import account, bearer

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpResponse

ROOT = "/api/v1/"


class Caller:
    """Somebody who sends JSON with a token, or without one."""

    def __init__(self, user: User | None = None, **headers: str) -> None:
        self.user = user
        self._headers = {**(bearer(user) if user else {}), **headers}
        self._client = Client()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        more = {} if body is None else {"data": body, "content_type": "application/json"}
        path = path.removeprefix("http://testserver")
        path = path if path.startswith("/") else f"{ROOT}{path}"
        call = getattr(self._client, method.lower())
        return call(path, headers={**self._headers, **headers}, **more)


@pytest.fixture
def member(db: None) -> Caller:
    return Caller(account("mia"))


@pytest.fixture
def other(db: None) -> Caller:
    return Caller(account("otto"))


@pytest.fixture
def viewer(db: None) -> Caller:
    return Caller(account("vera", Role.VIEWER))


@pytest.fixture
def operator(db: None) -> Caller:
    return Caller(account("olga", Role.OPERATOR))


@pytest.fixture
def visitor(db: None) -> Caller:
    return Caller()
