"""Numbers in addresses that no row can have: each route says that there is no such thing."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tests.e2l_site.laboratory import ROUTES, query

#: What does not fit into 32 and 64 bits, signed and unsigned, and into a float of Python.
LARGE = (2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**400)
NUMBERED = {"pk", "number", "index", "link", "context_id"}


@pytest.mark.parametrize(
    ("route", "name"),
    [(route, name) for route, names in ROUTES.items() for name in names if name in NUMBERED],
)
def test_large_numbers_name_nothing(laboratory, courier_to_nowhere, route, name):
    known = laboratory.arguments(route, ROUTES[route])
    address = reverse(route, kwargs={**known, name: 777777})
    client = laboratory.clients["operator"]
    client.raise_request_exception = False
    form = {"content_type": "application/json"} if route.startswith("api:") else {}
    for number in LARGE:
        path = address.replace("777777", str(number)) + query(route, laboratory)
        for method in ("get", "post", "patch", "delete"):
            response = getattr(client, method)(path, **form if method == "post" else {})
            assert response.status_code in {404, 405}, (method, number)
