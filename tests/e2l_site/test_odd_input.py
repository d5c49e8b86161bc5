"""Odd numbers and texts wherever an address or a form of any page takes one: nothing fails.

The last test repeats all others with PostgreSQL, which refuses what SQLite lets pass.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from django.utils.datastructures import MultiValueDict

from e2l_site.locations import PROJECT_ROOT
from evolution.enums import Action
from evolution.models import LogEntry
from tests.e2l_site.laboratory import ROUTES, query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2l_site.laboratory import Laboratory

#: What does not fit into 32 and 64 bits, the former taken modulo 2**32, and into a float.
LARGE = (2**31, 2**32, 2**63, 10**400)
NUMBERED = {"pk", "number", "index", "link", "context_id"}

#: Texts and bytes: a null character, a lone surrogate, a number that int() refuses, digits of
#: another script that it reads, a number that is not finite, a large one, no UTF-8.
ODD = ("", "a\0b", b"\xed\xa0\x80", "9" * 4400, "٣", "1e999", str(10**30), b"\xff\xfe")
PAGES = sorted(route for route in ROUTES if not route.startswith("api:"))
#: Whoever sends these signs out.
LEAVING = {"sign-out", "end-sessions"}


@pytest.fixture
def client(laboratory: Laboratory, courier_to_nowhere: None) -> Client:
    client = laboratory.clients["operator"]
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize(
    ("route", "name"),
    [(route, name) for route, names in ROUTES.items() for name in names if name in NUMBERED],
)
def test_large_numbers_name_nothing(laboratory, client, route, name):
    known = laboratory.arguments(route, ROUTES[route])
    address = reverse(route, kwargs={**known, name: 777777})
    form = {"content_type": "application/json"} if route.startswith("api:") else {}
    for number in LARGE:
        path = address.replace("777777", str(number)) + query(route, laboratory)
        for method in ("get", "post", "patch", "delete"):
            response = getattr(client, method)(path, **form if method == "post" else {})
            assert response.status_code in {404, 405}, (method, number)


@contextmanager
def names_asked_for() -> Iterator[set[str]]:
    """Note what views read of queries and forms: nobody has to list it."""
    asked: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        for method in ("get", "getlist", "__getitem__", "__contains__"):
            original = getattr(MultiValueDict, method)

            def spy(self: Any, key: str, *args: Any, _original: Any = original, **kw: Any) -> Any:
                if isinstance(self, QueryDict) and isinstance(key, str):
                    asked.add(key)
                return _original(self, key, *args, **kw)

            patch.setattr(MultiValueDict, method, spy)
        yield asked


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_odd_texts_in_queries(laboratory, client, route):
    path = reverse(route, kwargs=laboratory.arguments(route, ROUTES[route]))
    start = f"{path}{query(route, laboratory) or '?'}&"
    with names_asked_for() as names:
        if client.get(start).status_code == 405:
            return  # It takes forms only.
    for name in names:
        for text in ODD:
            response = client.get(f"{start}{quote(name)}={quote(text)}")
            assert response.status_code < 500, (name, text)
            if response.streaming:
                assert list(response.streaming_content)


@pytest.mark.parametrize("route", [route for route in PAGES if route not in LEAVING])
def test_odd_texts_in_forms(laboratory, client, route):
    path = reverse(route, kwargs=laboratory.arguments(route, ROUTES[route]))
    path += query(route, laboratory)
    with names_asked_for() as names:
        if client.post(path).status_code == 405:
            return  # It takes no form.
    for name in names:
        for text in ODD:
            form = f"{quote(name)}={quote(text)}"
            response = client.post(path, form, content_type="application/x-www-form-urlencoded")
            assert response.status_code < 500, (name, text)


@pytest.mark.parametrize("path", ["/", "/sign-in/", "/api/v1/experiments/", "/readyz"])
@pytest.mark.parametrize("odd", ["\\000", "\\355\\240\\200", "x" * 4000])
def test_odd_cookies_are_those_of_visitors(laboratory, client, path, odd):
    """Between quotation marks, cookies hold any byte."""
    key = client.cookies["e2l_session"].value
    visitor = Client(raise_request_exception=False)
    for name in ("e2l_session", "e2l_csrf", "messages", "elsewhere"):
        answers = [
            [call(path, headers=headers).status_code for call in (visitor.get, visitor.post)]
            for headers in ({}, {"cookie": f'{name}="{key}{odd}"'})
        ]
        assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("text", "address"),
    [("unknown", None), ("", None), ("10.0.0.7:4711", None), ("fe80::1%eth0", "fe80::1")],
)
def test_odd_addresses_of_clients_are_unknown(laboratory, text, address):
    visitor = Client(REMOTE_ADDR=text)
    form = {"username": "owner", "password": "it is another one"}
    answers = [visitor.post("/sign-in/", form).status_code for _ in range(11)]
    # Nor does an odd one let anybody guess for ever.
    assert (answers[:9], answers[-1]) == ([200] * 9, 429)
    failures = LogEntry.objects.filter(action=Action.SIGN_IN_FAILED)
    assert set(failures.values_list("address", flat=True)) == {address}


@pytest.mark.skipif("E2L_ODD_INPUT" in os.environ, reason="is what runs these tests")
def test_all_of_it_with_postgresql(postgres_url: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        cwd=PROJECT_ROOT, env={**os.environ, "DATABASE_URL": postgres_url, "E2L_ODD_INPUT": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-3000:]
