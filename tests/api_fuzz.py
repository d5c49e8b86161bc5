"""Fuzzing of the API by its own schema: ``python -m tests.api_fuzz --requests 10000``.

Schemathesis makes requests that fit the schema and such that do not, for every operation, as a
visitor (of a closed and of a public site), a viewer, a member and an operator; others have bodies
of raw bytes, and experiment files of which a byte is wrong.
They go through the whole application (middleware, real database, a broker of their own). Found are

* answers of 500 and above;
* statuses, types and bodies of answers that the schema does not have;
* answers with more rights than a role has.

The requests depend on the seed only. ``--postgres`` takes a fresh database of the machine's server
instead of SQLite.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Shares of the requests: who may more is sent more.
ROLES = {
    "visitor": 0.1,
    "visitor of a public site": 0.15,
    "viewer": 0.2,
    "member": 0.35,
    "operator": 0.2,
}
#: Of so many requests one has a body of raw bytes, and one in three does not fit the schema.
_RAW_SHARE = 20
_RULES = ("(v - u)*s", "u*s", "v**u/s", "-s", "0.1*v", "1/(u - u)", "s**s**s", "v +")
_SAFE = {"GET", "HEAD", "OPTIONS"}
_WRITERS = {"member", "operator"}
_OF_OPERATORS = ("people", "activity", "operation")
#: Where numbers are aimed at what is there for this alone: nobody is to lock himself out.
_OWN = ("people", "tokens")
_ZIP = "application/zip"


@dataclass
class Findings:
    """What was sent, and what was found; the first example of each kind of fault is kept."""

    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    by_role: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def n_requests(self) -> int:
        """All requests."""
        return self.statuses.total()

    def note(self, role: str, operation: str, status: int) -> None:
        """Count a request."""
        self.statuses[status] += 1
        self.operations[operation] += 1
        self.by_role[role] += 1


def fuzz(cast: Any, n_requests: int, *, seed: int) -> Findings:
    """Send requests as everybody, and return what was found."""
    import schemathesis
    from django.core.wsgi import get_wsgi_application
    from django.test import override_settings

    from evolution.api.schema import document
    from tests.evolution.api.cast import bearer

    # As clients read it: plain JSON.
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(document())))
    schema.app = get_wsgi_application()
    schemathesis.serializer(_ZIP)(lambda _, value: value)
    headers = {name: bearer(getattr(cast, name)) for name in ("viewer", "member", "operator")}
    # Making the application sets up logging: refusals are what is wanted here.
    for name in ("django.request", "e2l_site.logs"):
        logging.getLogger(name).setLevel(logging.ERROR)
    findings = Findings()
    for place, (role, share) in enumerate(ROLES.items()):
        n_of_role = math.ceil(share * n_requests)
        own = headers.get(role, {})
        n_raw = n_of_role // _RAW_SHARE
        n_negative = (n_of_role - n_raw) // 3
        n_positive = n_of_role - n_raw - n_negative
        with override_settings(E2L_PUBLIC=role == "visitor of a public site"):
            for mode, number in (("positive", n_positive), ("negative", n_negative)):
                _by_schema(schema, mode, number, seed + place, role, own, cast, findings)
            _raw(schema, n_raw, seed + place, role, own, cast, findings)
        if own and _name_of(schema.app, own) != getattr(cast, role).username:
            findings.faults[f"{role}: locked out"] = "The later requests were anybody's."
    return findings


def _name_of(app: Any, headers: dict[str, str]) -> str | None:
    """Return whose account a token opens now."""
    from werkzeug.test import Client

    account = (Client(app).get("/api/v1/", headers=headers).json or {}).get("account")
    return account and account["name"]


def _by_schema(
    schema: Any,
    mode: str,
    number: int,
    seed: int,
    role: str,
    headers: dict[str, str],
    cast: Any,
    findings: Findings,
) -> None:
    """Send requests that schemathesis makes."""
    from hypothesis import strategies as st
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]

    def send(case: Any, known: int, is_known: bool) -> None:
        if is_known and mode == "positive":
            _aim(case, known, cast)
        elif _noun(case.path) in _OWN and str(case.path_parameters.get("id", "")).isdigit():
            case.path_parameters["id"] = _Known(known, case.path, cast)["id"]
        label = case.operation.label
        try:
            response = case.call(headers=headers)
        except Exception as error:
            findings.faults.setdefault(f"{label}: {type(error).__name__}", f"{role}: {error}")
            return
        findings.note(role, label, response.status_code)
        try:
            case.validate_response(response, checks=wanted)
        except BaseExceptionGroup as group:
            for fault in group.exceptions:
                findings.faults.setdefault(f"{label}: {type(fault).__name__}", f"{role}: {fault}")
        except AssertionError as fault:
            findings.faults.setdefault(f"{label}: {type(fault).__name__}", f"{role}: {fault}")
        _check_rights(role, case.method.upper(), label, response.status_code, findings)

    operations = list(_operations(schema, mode))
    for place, operation in enumerate(operations):
        _repeat(
            send,
            number // len(operations) + (place < number % len(operations)),
            seed,
            case=operation.as_strategy(generation_mode=GenerationMode(mode)),
            known=st.integers(0, 10_000),
            is_known=st.sampled_from((True, True, True, False)),
        )


def _raw(
    schema: Any,
    number: int,
    seed: int,
    role: str,
    headers: dict[str, str],
    cast: Any,
    findings: Findings,
) -> None:
    """Send bodies of raw bytes, and JSON that is none of the schema's."""
    from hypothesis import strategies as st
    from werkzeug.test import Client

    client = Client(schema.app)
    targets = [
        operation for operation in _operations(schema, "positive") if operation.method != "get"
    ]
    texts = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode())
    odd = st.sampled_from(
        [b"[" * 100_000, b'{"seed": 1e400}', b'{"name": "\\ud800"}', b"9" * 5000, b"\xff", b"NaN"]
    )

    def send(operation: Any, body: bytes, kind: str, known: int) -> None:
        path = operation.full_path.format_map(_Known(known, operation.path, cast))
        response = client.open(
            path, method=operation.method.upper(), data=body, content_type=kind, headers=headers
        )
        findings.note(role, operation.label, response.status_code)
        if response.status_code >= 500:
            shown = f"{role}: {body[:200]!r} as {kind} gives {response.status_code}"
            findings.faults.setdefault(f"{operation.label}: raw", shown)
        elif response.status_code >= 400 and response.mimetype != "application/problem+json":
            shown = f"{role}: {body[:200]!r} gives {response.mimetype}"
            findings.faults.setdefault(f"{operation.label}: type of a problem", shown)
        _check_rights(
            role, operation.method.upper(), operation.label, response.status_code, findings
        )

    kinds = ("application/json", "application/json", "text/plain", "", "multipart/form-data", "x")
    _repeat(
        send,
        number,
        seed,
        operation=st.sampled_from(targets),
        body=texts | st.binary(max_size=200) | odd,
        kind=st.sampled_from(kinds),
        known=st.integers(0, 10_000),
    )


def _check_rights(role: str, method: str, label: str, status: int, findings: Findings) -> None:
    """Note where somebody changes what he may not."""
    is_done = status < 400
    noun = _noun(label.partition(" ")[2])
    if is_done and role == "visitor" and not label.endswith("/api/v1/"):
        findings.faults.setdefault(f"{label}: open to visitors", f"{role}: {status}")
    if is_done and role != "operator" and noun in _OF_OPERATORS:
        findings.faults.setdefault(f"{label}: open to others than operators", f"{role}: {status}")
    if is_done and role not in _WRITERS and method not in _SAFE:
        findings.faults.setdefault(f"{label}: open to readers", f"{role}: {status}")


class _Known(dict):
    """Numbers of what there is, for the parameters of a path."""

    def __init__(self, known: int, path: str, cast: Any) -> None:
        super().__init__()
        self._known = known
        self._noun = _noun(path)
        self._cast = cast

    def __missing__(self, name: str) -> Any:
        cast = self._cast
        ids = {
            "rules": cast.rules,
            "simulations": cast.simulations,
            "validations": cast.validations,
            "people": cast.people,
            "tokens": cast.tokens,
        }
        values = {
            "id": ids.get(self._noun, cast.experiments),
            "link": cast.links,
            "number": [1, 2],
            "index": range(12),
            "kind": ["nwb", "zip"],
            "name": ["fig3", "fig5"] if self._noun == "figures" else ["error-driven"],
            "key": ["5E", "5B", "3C"],
        }[name]
        return values[self._known % len(values)]


def _noun(path: str) -> str:
    return path.removeprefix("/api/v1/").partition("/")[0]


def _aim(case: Any, known: int, cast: Any) -> None:
    """Replace random numbers by those of what there is, and random texts by rules."""
    found = _Known(known, case.path, cast)
    for name in case.path_parameters or ():
        case.path_parameters[name] = found[name]
    if case.media_type == _ZIP:
        case.body = _damaged(cast.file, known)
    if isinstance(case.body, dict):
        if "experiments" in case.body:
            case.body["experiments"] = [cast.experiments[known % len(cast.experiments)]]
        if "host" in case.body:
            case.body["host"] = "node1"
        if "expressions" in case.body:
            case.body.pop("rule", None)
            case.body["learning_task"] = "error-driven"
            case.body["expressions"] = [_RULES[known % len(_RULES)]]
        if "preset" in case.body:
            case.body["preset"] = ("demo", "paper")[known % 2]
        if case.path.endswith("/validations/"):
            case.body["learning_task"] = "error-driven"


def _damaged(content: bytes, known: int) -> bytes:
    """Return a file as it is, cut off, or with another byte."""
    place = known % len(content)
    return (
        content,
        content[:place],
        content[:place] + bytes([content[place] ^ 1 << known % 8]) + content[place + 1 :],
    )[known % 3]


def _operations(schema: Any, mode: str) -> Iterator[Any]:
    for result in schema.get_all_operations():
        operation = result.ok()
        has_input = any(
            (operation.path_parameters, operation.query, operation.headers, operation.body)
        )
        if mode == "positive" or has_input:
            yield operation


def _repeat(send: Callable[..., None], number: int, seed: int, **strategies: Any) -> None:
    """Call ``send`` with so many inputs; what it finds it notes itself."""
    import hypothesis

    if not number:
        return
    n_sent = 0

    def counted(**inputs: Any) -> None:
        nonlocal n_sent
        n_sent += 1
        send(**inputs)

    turn = 0
    while n_sent < number and turn < 50:
        # Hypothesis may leave out what it has had: it begins again with another seed.
        settings = hypothesis.settings(
            max_examples=number - n_sent,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        test = hypothesis.given(**strategies)(counted)
        settings(hypothesis.seed(seed + 1000 * turn)(test))()
        turn += 1


def report(findings: Findings, seconds: float) -> str:
    """Return what people read."""
    rows = [
        f"{findings.n_requests} requests to {len(findings.operations)} operations, {seconds:.0f} s",
        "by role: " + ", ".join(f"{role} {n}" for role, n in findings.by_role.items()),
        "by status: " + ", ".join(f"{code}: {n}" for code, n in sorted(findings.statuses.items())),
        f"fewest of one operation: {min(findings.operations.values(), default=0)}",
        f"faults: {len(findings.faults)}",
    ]
    rows += [f"  {name}\n    {text}" for name, text in sorted(findings.faults.items())]
    return "\n".join(rows)


def main() -> int:
    """Run a campaign on a site of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", metavar="URL", help="An empty database to use.")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="e2l-fuzz-")))
        os.environ |= {
            "E2L_DATA_DIR": str(directory),
            "DJANGO_SETTINGS_MODULE": "e2l_site.settings",
            "E2L_API_RATE_ANONYMOUS": "0",
            "E2L_API_RATE_USER": "0",
            "E2L_API_RATE_SIMULATIONS": "0",
            "E2L_ALLOWED_HOSTS": "localhost,127.0.0.1",
        }
        os.environ.pop("DATABASE_URL", None)
        if options.postgres:
            os.environ["DATABASE_URL"] = options.postgres
        from tests.broker import private_broker

        os.environ["REDIS_URL"] = stack.enter_context(private_broker(directory))
        import django

        django.setup()
        from django.core.management import call_command

        from tests.evolution.api.cast import make_cast

        call_command("migrate", verbosity=0)
        cast = make_cast(n_each=8)
        begin = time.perf_counter()
        findings = fuzz(cast, options.requests, seed=options.seed)
        sys.stdout.write(report(findings, time.perf_counter() - begin) + "\n")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    sys.exit(main())
