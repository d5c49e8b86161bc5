"""Every route, asked by everybody: a route without a row in the table below fails."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evolution import access
from evolution.enums import (
    Action,
    Role,
    Visibility,
)
from evolution.models import (
    EvaluationContext,
    Experiment,
    LogEntry,
    Rule,
    Validation,
)
from evolution.services import accounts, sharing
from tests.e2l_site.laboratory import PEOPLE, ROUTES, SHARED_RULE, query
from tests.evolution.histories import add_generations, make_experiment, make_rule

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.django_db

# Answers in the order of PEOPLE. 302 is the sign-in page where it is the answer to visitors.
SIGN_IN = 302
PRIVATE = (SIGN_IN, 200, 404, 404, 200, 200)
"""Reading the private experiment."""
PRIVATE_CHANGE = (SIGN_IN, SIGN_IN, 404, 404, 200, 200)
"""Forms that change the private experiment."""
PRIVATE_POST = (SIGN_IN, SIGN_IN, 404, 404, "done", "done")
"""Actions on the private experiment."""
SIGNED_IN = (SIGN_IN, SIGN_IN, 200, 200, 200, 200)
MEMBERS = (SIGN_IN, SIGN_IN, 403, 200, 200, 200)
OPERATORS = (SIGN_IN, SIGN_IN, 403, 403, 403, 200)
OPERATORS_POST = (SIGN_IN, SIGN_IN, 403, 403, 403, "done")
PRIVATE_RULE_PAGE = (SIGN_IN, SIGN_IN, 404, 404, 200, 200)
ANYBODY = (200,) * 6
#: The method is not that of the route: visitors are sent away before anybody looks.
NOT_ALLOWED = (SIGN_IN, SIGN_IN, 405, 405, 405, 405)
NOT_ALLOWED_FOR_READERS = (SIGN_IN, 405, 405, 405, 405, 405)
DONE = "done"  # 302 to elsewhere, or a refusal by the state of things: it was permitted

# The API answers visitors by 401, also those who have a link.
API = (401, 401)
API_PRIVATE = (*API, 404, 404, 200, 200)
API_READ = (*API, 200, 200, 200, 200)
API_RULE = (*API, 404, 404, 200, 200)
API_CHANGE = (*API, 403, 404)
API_OPERATORS = (*API, 403, 403, 403, 200)
API_OPERATORS_POST = (*API, 403, 403, 403, 422)
NO_SUCH_METHOD = (405,) * 6

#: Route: (answers to GET, answers to POST). Routes of experiments are asked of the private one.
TABLE: dict[str, tuple[tuple, tuple]] = {
    "sign-in": ((200, 200, DONE, DONE, DONE, DONE), ANYBODY[:2] + (DONE,) * 4),
    "sign-out": (NOT_ALLOWED, (SIGN_IN, SIGN_IN, DONE, DONE, DONE, DONE)),
    "welcome": ((404,) * 6, (404,) * 6),
    "set-password": (ANYBODY, ANYBODY),
    "account": (SIGNED_IN, NOT_ALLOWED),
    "change-password": (NOT_ALLOWED, (SIGN_IN, SIGN_IN, 422, 422, 422, 422)),
    "end-sessions": (NOT_ALLOWED, (SIGN_IN, SIGN_IN, DONE, DONE, DONE, DONE)),
    "evolution:experiments": (SIGNED_IN, NOT_ALLOWED),
    "evolution:bulk": (NOT_ALLOWED, (SIGN_IN, SIGN_IN, DONE, DONE, DONE, DONE)),
    "evolution:new-experiment": (
        (SIGN_IN, SIGN_IN, 403, 404, 200, 200),
        (SIGN_IN, SIGN_IN, 403, 404, 422, 422),
    ),
    "evolution:estimate": (
        (SIGN_IN, SIGN_IN, 403, 405, 405, 405),
        (SIGN_IN, SIGN_IN, 403, 404, 200, 200),
    ),
    **{
        f"evolution:{name}": (PRIVATE, NOT_ALLOWED_FOR_READERS)
        for name in (
            "experiment", "experiment-actions", "experiment-figures", "experiment-records",
            "experiment-plot", "experiment-band", "experiment-state", "experiment-history",
            "run", "population", "individuals", "individual", "experiment-validation",
        )
    },
    **{
        f"evolution:{name}": (NOT_ALLOWED, PRIVATE_POST)
        for name in (
            "launch-experiment", "pause-experiment", "resume-experiment", "stop-experiment",
            "archive-experiment", "unarchive-experiment", "retry-failures", "revoke-link",
        )
    },
    **{
        f"evolution:{name}": (PRIVATE_CHANGE, (SIGN_IN, SIGN_IN, 404, 404, 422, 422))
        for name in ("extend-experiment", "delete-experiment")
    },
    "evolution:experiment-labels": (PRIVATE_CHANGE, (SIGN_IN, SIGN_IN, 404, 404, 409, 409)),
    "evolution:sharing": (PRIVATE_CHANGE, NOT_ALLOWED),
    "evolution:visibility": (NOT_ALLOWED, (SIGN_IN, SIGN_IN, 404, 404, 422, 422)),
    "evolution:create-link": (NOT_ALLOWED, (SIGN_IN, SIGN_IN, 404, 404, 201, 201)),
    "evolution:shared": ((404,) * 6, (405,) * 6),
    "evolution:compare": ((SIGN_IN, SIGN_IN, 404, 404, 200, 200), NOT_ALLOWED),
    "evolution:compare-figure": ((SIGN_IN, SIGN_IN, 404, 404, 200, 200), NOT_ALLOWED),
    "evolution:rules": (SIGNED_IN, NOT_ALLOWED),
    "evolution:rules-front": ((SIGN_IN, SIGN_IN, 404, 404, 200, 200), NOT_ALLOWED),
    **{
        f"evolution:{name}": (PRIVATE_RULE_PAGE, NOT_ALLOWED)
        for name in (
            "rule", "rule-shape", "export-rule", "probe", "probe-panel",
            "rule-validation", "rule-validating", "held-out-trials", "rule-robustness",
        )
    },
    "evolution:simulate-rule": (
        (SIGN_IN, SIGN_IN, 403, 405, 405, 405),
        (SIGN_IN, SIGN_IN, 403, 404, 400, 400),
    ),
    "evolution:rule-note": (
        (SIGN_IN, SIGN_IN, 403, 405, 405, 405),
        (SIGN_IN, SIGN_IN, 403, 404, 422, 422),
    ),
    "evolution:validate-front": (
        (SIGN_IN, SIGN_IN, 403, 405, 405, 405),
        (SIGN_IN, SIGN_IN, 403, 404, 404, 404),
    ),
    **{
        f"evolution:{name}": (
            (SIGN_IN, SIGN_IN, 403, 405, 405, 405),
            (SIGN_IN, SIGN_IN, 403, 404, 400, 400),
        )
        for name in ("validate-rule", "validate-experiment")
    },
    "evolution:cancel-validation": (NOT_ALLOWED, PRIVATE_POST),
    "evolution:lab": (MEMBERS, (SIGN_IN, SIGN_IN, 403, 422, 422, 422)),
    "evolution:lab-check": (MEMBERS, (SIGN_IN, SIGN_IN, 403, 405, 405, 405)),
    "evolution:import-experiment": (MEMBERS, (SIGN_IN, SIGN_IN, 403, 422, 422, 422)),
    "evolution:export-experiment": (PRIVATE, NOT_ALLOWED_FOR_READERS),
    "evolution:reproduce-experiment": (
        (SIGN_IN, SIGN_IN, 403, 405, 405, 405),
        (SIGN_IN, SIGN_IN, 403, 404, DONE, DONE),
    ),
    "evolution:experiment-difference": (
        (SIGN_IN, 404, 404, 404, 404, 404),
        NOT_ALLOWED_FOR_READERS,
    ),
    "evolution:probe-recording": (PRIVATE_RULE_PAGE, NOT_ALLOWED),
    **{
        f"evolution:{name}": (OPERATORS, (SIGN_IN, SIGN_IN, 403, 403, 403, 405))
        for name in ("operation", "operation-state")
    },
    **{
        f"evolution:{name}-host": ((SIGN_IN, SIGN_IN, 403, 403, 403, 405), OPERATORS_POST)
        for name in ("drain", "resume", "restart")
    },
    "evolution:figures": (SIGNED_IN, NOT_ALLOWED),
    **{
        f"evolution:{name}": (SIGNED_IN, NOT_ALLOWED)
        for name in ("figure", "figure-progress", "figure-panel")
    },
    "evolution:figure-simulate": (
        (SIGN_IN, SIGN_IN, 403, 405, 405, 405),
        (SIGN_IN, SIGN_IN, 403, DONE, DONE, DONE),
    ),
    "evolution:people": (OPERATORS, (SIGN_IN, SIGN_IN, 403, 403, 403, 422)),
    "evolution:account-role": (
        (SIGN_IN, SIGN_IN, 403, 403, 403, 405),
        (SIGN_IN, SIGN_IN, 403, 403, 403, 404),
    ),
    "evolution:account-active": ((SIGN_IN, SIGN_IN, 403, 403, 403, 405), OPERATORS_POST),
    "evolution:password-link": ((SIGN_IN, SIGN_IN, 403, 403, 403, 405), OPERATORS),
    "evolution:activity": (OPERATORS, (SIGN_IN, SIGN_IN, 403, 403, 403, 405)),
    "evolution:activity-csv": (OPERATORS, (SIGN_IN, SIGN_IN, 403, 403, 403, 405)),
    "evolution:tokens": (SIGNED_IN, NOT_ALLOWED),
    "evolution:create-token": (NOT_ALLOWED, (SIGN_IN, SIGN_IN, 422, 422, 422, 422)),
    "evolution:revoke-token": (NOT_ALLOWED, (SIGN_IN, SIGN_IN, 404, 404, 404, 404)),
    "api:root": (ANYBODY, NO_SUCH_METHOD),
    "api:reference": (SIGNED_IN, NOT_ALLOWED),
    **{
        f"api:{name}": (API_READ, NO_SUCH_METHOD)
        for name in ("schema", "status", "learning-tasks", "evolution-parameters", "primitives")
    },
    "api:learning-task": ((*API, 404, 404, 404, 404), NO_SUCH_METHOD),
    "api:experiments": (API_READ, (*API, 403, 422, 422, 422)),
    "api:rules": (API_READ, (*API, 403, 422, 422, 422)),
    "api:simulations": (API_READ, (*API, 403, 422, 422, 422)),
    "api:estimate": (NO_SUCH_METHOD, (*API, 403, 422, 422, 422)),
    "api:check": (NO_SUCH_METHOD, (*API, 403, 422, 422, 422)),
    "api:comparison": (API_PRIVATE, NO_SUCH_METHOD),
    "api:contexts": (API_READ, NO_SUCH_METHOD),
    "api:front": (API_PRIVATE, NO_SUCH_METHOD),
    "api:experiment": (API_PRIVATE, NO_SUCH_METHOD),
    "api:clone": (NO_SUCH_METHOD, (*API_CHANGE, 201, 201)),
    "api:extend": (NO_SUCH_METHOD, (*API_CHANGE, 422, 422)),
    **{
        f"api:{name}": (NO_SUCH_METHOD, (*API_CHANGE, 409, 409))
        for name in ("start", "pause", "resume", "stop", "unarchive", "retry")
    },
    "api:archive": (NO_SUCH_METHOD, (*API_CHANGE, 200, 409)),
    **{
        f"api:{name}": (API_PRIVATE, NO_SUCH_METHOD)
        for name in (
            "failures", "log", "history", "runs", "run", "generations", "population",
            "individuals", "individual", "lineage", "export", "figures-of",
            "champions",
        )
    },
    "api:bulk": (NO_SUCH_METHOD, (*API, 403, 422, 422, 422)),
    "api:import": (NO_SUCH_METHOD, (*API, 403, 415, 415, 415)),
    "api:reproduce": (NO_SUCH_METHOD, (*API, 403, 404, 201, 201)),
    "api:difference": ((*API, 404, 404, 404, 404), NO_SUCH_METHOD),
    "api:links": (API_PRIVATE, (*API_CHANGE, 201, 201)),
    "api:link": (NO_SUCH_METHOD, NO_SUCH_METHOD),
    **{
        f"api:{name}": (API_RULE, NO_SUCH_METHOD)
        for name in (
            "rule", "forms", "family", "occurrences", "evaluations", "exports", "simulation",
            "panel", "held-out", "validation", "recording", "simulations-of", "shape",
        )
    },
    "api:validations": (NO_SUCH_METHOD, (*API_CHANGE, 422, 422)),
    "api:validations-of": (NO_SUCH_METHOD, (*API_CHANGE, 202, 202)),
    "api:robustness": (API_RULE, (*API_CHANGE, 422, 422)),
    "api:front-validations": (NO_SUCH_METHOD, (*API, 403, 422, 422, 422)),
    "api:all-validations": (API_READ, NO_SUCH_METHOD),
    "api:cancel": (NO_SUCH_METHOD, (*API_CHANGE, 200, 200)),
    "api:note": (NO_SUCH_METHOD, NO_SUCH_METHOD),
    **{
        f"api:{name}": (API_READ, NO_SUCH_METHOD) for name in ("figures", "figure", "figure-panel")
    },
    "api:figure-simulations": (NO_SUCH_METHOD, (*API, 403, 202, 202, 202)),
    "api:people": (API_OPERATORS, API_OPERATORS_POST),
    **{
        f"api:{name}": (API_OPERATORS, NO_SUCH_METHOD)
        for name in ("person", "activity", "operation")
    },
    **{
        f"api:{name}-host": (NO_SUCH_METHOD, API_OPERATORS_POST)
        for name in ("drain", "resume", "restart")
    },
    "api:tokens": (API_READ, NO_SUCH_METHOD),
    "api:token": (NO_SUCH_METHOD, NO_SUCH_METHOD),
}  # fmt: skip


def test_every_route_has_a_row_and_every_row_a_route():
    assert set(ROUTES) == set(TABLE)


@pytest.mark.parametrize("route", sorted(TABLE))
def test_everybody_gets_the_answer_of_the_table(laboratory, route, courier_to_nowhere):
    path = reverse(route, kwargs=laboratory.arguments(route, ROUTES[route])) + query(
        route, laboratory
    )
    for method, answers in zip(("get", "post"), TABLE[route], strict=True):
        found = []
        for person, expected in zip(PEOPLE, answers, strict=True):
            form = {"content_type": "application/json"} if route.startswith("api:") else {}
            response = getattr(laboratory.clients[person], method)(
                path, **form if method == "post" else {}
            )
            found.append(_answer(response, expected))
        assert dict(zip(PEOPLE, found, strict=True)) == dict(zip(PEOPLE, answers, strict=True)), (
            method,
            path,
        )


def _answer(response: Any, expected: object) -> object:
    """Return the status; of what was permitted, whether it was done or refused by the state."""
    is_sign_in = response.status_code == 302 and response.url.startswith("/sign-in/?next=")
    if expected == SIGN_IN:
        return SIGN_IN if is_sign_in else response.status_code
    if expected == DONE:
        is_permitted = response.status_code in {302, 409} and not is_sign_in
        return DONE if is_permitted else response.status_code
    return response.status_code


def test_who_may_do_what_with_what_is_shared(laboratory):
    experiment = laboratory.shared
    path = experiment.get_absolute_url()
    stop = reverse("evolution:archive-experiment", args=[experiment.pk])
    for person, may_read, answer in (
        ("nobody", False, SIGN_IN),
        ("guest", False, SIGN_IN),
        ("viewer", True, 403),
        ("stranger", True, 403),
    ):
        client = laboratory.clients[person]
        seen = client.get(path)
        assert (seen.status_code == 200) is may_read, person
        if may_read:
            html = seen.content.decode()
            assert "Archive</button>" not in html
            assert "Edit tags and notes" not in html
            assert ("Copy…" in html) is (person == "stranger")
        elif person == "guest":
            assert seen.status_code == 404
        response = client.post(stop)
        assert response.status_code == answer, person
    refused = laboratory.clients["stranger"].post(stop).content.decode()
    assert "belongs to owner: only its owner and operators may" in refused
    assert not Experiment.objects.archived().exists()
    assert "Archive</button>" in laboratory.clients["owner"].get(path).content.decode()
    assert laboratory.clients["owner"].post(stop).status_code == 302
    assert Experiment.objects.archived().get() == experiment


def test_several_at_once_are_changed_by_nobody_who_may_not_change_all_of_them(laboratory):
    own = make_experiment(name="Own", running=False)
    Experiment.objects.filter(pk=own.pk).update(owner=laboratory.users["stranger"])
    address = reverse("evolution:bulk")
    data = {"action": "archive", "experiment": [own.pk, laboratory.shared.pk]}
    assert laboratory.clients["stranger"].post(address, data).status_code == 403
    assert laboratory.clients["viewer"].post(address, data).status_code == 403
    assert not Experiment.objects.archived().exists()
    # What somebody cannot see is not there for him.
    data = {"action": "archive", "experiment": [own.pk, laboratory.private.pk]}
    assert laboratory.clients["stranger"].post(address, data).status_code == 302
    assert Experiment.objects.archived().get() == own


PAGES_OF_MANY = (
    "/", "/?q=Hidde", "/rules/?task=error-driven", "/rules/?task=error-driven&sort=simplest",
    "/rules/?task=error-driven&q=(v-u)*s**3", "/compare/", "/compare/?q=Hidde",
    "/lab/check/?task=error-driven&expression-delta_w=(v-u)*s**3",
)  # fmt: skip


def test_nothing_private_leaks_into_pages_of_many(laboratory):
    traces = (
        "Hidden",
        f'href="{laboratory.private.get_absolute_url()}"',
        f'href="{laboratory.rule.get_absolute_url()}"',
    )
    for person in ("viewer", "stranger"):
        client = laboratory.clients[person]
        for path in PAGES_OF_MANY:
            if person == "viewer" and path.startswith("/lab"):
                continue
            html = client.get(path).content.decode()
            assert [trace for trace in traces if trace in html] == [], (person, path)
    # The test could fail: the owner's pages do show it.
    assert "Hidden" in laboratory.clients["owner"].get("/").content.decode()


def test_a_shared_rule_tells_nothing_of_private_experiments(laboratory):
    """The private experiment has found the shared rule as well, and a relative of it."""
    run = laboratory.private.runs.get()
    add_generations(run, [(SHARED_RULE, -11.0), ("2*(v - u)*s", -10.0)])
    relative = make_rule("2*(v - u)*s")
    Rule.objects.filter(pk=relative.pk).update(shared_at=None)
    path = make_rule(SHARED_RULE).get_absolute_url()
    for person, n_experiments in (("stranger", 1), ("viewer", 1), ("owner", 2), ("operator", 2)):
        html = laboratory.clients[person].get(path).content.decode()
        assert f"<dt>Experiments</dt><dd>{n_experiments}</dd>" in html, person
        assert ("Hidden" in html) is (n_experiments == 2), person
        assert f'href="{relative.get_absolute_url()}"' not in html


def test_what_private_experiments_validate_stays_private_until_they_are_opened(laboratory):
    """The private experiment has validated a rule that the laboratory knows."""
    run = laboratory.private.runs.get()
    add_generations(run, [(SHARED_RULE, -1.0)])
    rule = make_rule(SHARED_RULE)
    validation = laboratory.add_validation(rule, laboratory.private)
    trials = reverse("evolution:held-out-trials", args=[rule.pk, validation.context_id])
    pages = (rule.get_absolute_url(), reverse("evolution:rule-validating", args=[rule.pk]))
    lists = ("/rules/?task=error-driven&context=", f"/compare/?run={laboratory.shared.pk}-1")

    def seen(person: str) -> list[bool]:
        client = laboratory.clients[person]
        page, progress = (client.get(path).content.decode() for path in pages)
        marks = ["−1.5" in client.get(path).content.decode() for path in lists]
        figure = client.get(trials).status_code == 200
        return ["−1.5" in page, "Secret rule" in progress, *marks, figure]

    assert seen("stranger") == seen("viewer") == [False] * 5
    assert seen("owner") == seen("operator") == [True] * 5
    sharing.set_visibility(laboratory.private, Visibility.LABORATORY, by=laboratory.users["owner"])
    assert seen("stranger") == seen("viewer") == [True] * 5


def test_values_of_a_private_form_are_not_shown_for_its_class(laboratory):
    rule, hidden = make_rule(SHARED_RULE), make_rule("s*v - s*u")
    assert hidden.fingerprint == rule.fingerprint
    Rule.objects.filter(pk=hidden.pk).update(shared_at=None)
    validation = laboratory.add_validation(hidden, None)
    EvaluationContext.objects.filter(pk=validation.context_id).update(shared_at=timezone.now())
    address = rule.get_absolute_url()
    assert "−1.5" not in laboratory.clients["stranger"].get(address).content.decode()
    Rule.objects.filter(pk=hidden.pk).update(shared_at=timezone.now())
    assert "−1.5" in laboratory.clients["stranger"].get(address).content.decode()


def test_a_validation_is_asked_for_by_members_and_cancelled_by_who_has_asked(
    laboratory, courier_to_nowhere
):
    rule = make_rule(SHARED_RULE)
    page = rule.get_absolute_url()
    data = {"in": "error-driven/demo", "kind": "validation", "trials": "2"}
    ask = reverse("evolution:validate-rule", args=[rule.pk])
    assert laboratory.clients["viewer"].post(ask, data).status_code == 403
    assert laboratory.clients["stranger"].post(ask, data).status_code == 302
    validation = Validation.objects.get(owner=laboratory.users["stranger"])
    entry = LogEntry.objects.filter(action=Action.SIMULATED).latest("pk")
    assert (entry.who, entry.subject) == ("stranger", f"rule {rule.pk}")
    assert entry.detail.startswith("validation of ")
    progress = reverse("evolution:rule-validating", args=[rule.pk])
    cancel = reverse("evolution:cancel-validation", args=[validation.pk])
    for person, may_ask, may_cancel in (
        ("viewer", False, False),
        ("owner", True, False),
        ("operator", True, True),
        ("stranger", True, True),
    ):
        client = laboratory.clients[person]
        assert ("Test the robustness" in client.get(page).content.decode()) is may_ask, person
        part = client.get(progress).content.decode()
        assert "waiting for a worker" in part
        assert ("Cancel</button>" in part) is may_cancel, person
        if not may_cancel:
            assert client.post(cancel).status_code == 403, person
    assert Validation.objects.open().contains(validation)
    assert laboratory.clients["stranger"].post(cancel).status_code == 302
    assert not Validation.objects.open().contains(validation)


def test_champions_are_validated_by_members_who_may_read_the_experiment(
    laboratory, courier_to_nowhere
):
    # With parameters that no other experiment has.
    laboratory.private.task_parameters |= {"t_sim_ms": 4321.0}
    laboratory.private.save()
    pages = ("experiment-validation", "validate-experiment")
    for experiment, allowed in (
        (laboratory.shared, ("stranger", "owner", "operator")),
        (laboratory.private, ("owner", "operator")),
    ):
        page, ask = (reverse(f"evolution:{name}", args=[experiment.pk]) for name in pages)
        for person in ("viewer", "stranger", "owner", "operator"):
            response = laboratory.clients[person].post(ask, {"which": "champions", "trials": "2"})
            assert (response.status_code == 302) is (person in allowed), person
            html = laboratory.clients[person].get(page).content.decode()
            assert ("Validate the champions" in html) is (person in allowed), person
    html = laboratory.clients["guest"].get(page).content.decode()
    assert "Champion of" in html
    for text in ("/rules/", "Validate the champions", "Cancel"):
        assert text not in html
    private = Validation.objects.filter(experiment=laboratory.private, rule__isnull=False)
    assert {item.context.shared_at for item in private} == {None}


def test_an_experiment_that_is_opened_brings_its_rules_along(laboratory):
    stranger = laboratory.clients["stranger"]
    path = laboratory.rule.get_absolute_url()
    assert stranger.get(path).status_code == 404
    address = reverse("evolution:visibility", args=[laboratory.private.pk])
    assert (
        laboratory.clients["owner"].post(address, {"visibility": "laboratory"}).status_code == 302
    )
    assert stranger.get(path).status_code == 200
    assert "Hidden" in stranger.get("/").content.decode()
    # What is known stays known.
    assert laboratory.clients["owner"].post(address, {"visibility": "private"}).status_code == 302
    assert stranger.get(path).status_code == 200
    html = stranger.get(path).content.decode()
    assert "Hidden" not in html


def test_a_link_opens_one_experiment_until_it_is_revoked(laboratory):
    guest = laboratory.clients["guest"]
    html = guest.get(laboratory.private.get_absolute_url()).content.decode()
    assert "/rules/" not in html.replace('href="/rules/"', "")
    for text in ("Share…", "Copy…", "Compare…", "New experiment", "Edit tags"):
        assert text not in html
    assert guest.get(laboratory.shared.get_absolute_url()).status_code == 404
    response = guest.get(laboratory.private.get_absolute_url())
    assert response.headers["X-Robots-Tag"] == "noindex, nofollow"
    revoke = reverse("evolution:revoke-link", args=[laboratory.private.pk, laboratory.link.pk])
    assert laboratory.clients["owner"].post(revoke).status_code == 302
    assert guest.get(laboratory.private.get_absolute_url()).status_code == 302
    again = guest.get(reverse("evolution:shared", args=[laboratory.secret]))
    assert again.status_code == 404


def test_a_secret_is_shown_once_and_kept_as_a_digest(laboratory):
    owner = laboratory.clients["owner"]
    response = owner.post(
        reverse("evolution:create-link", args=[laboratory.private.pk]),
        {"label": "Reviewer", "days": "7"},
    )
    (secret,) = re.findall(r"/shared/([\w-]{43})/", response.content.decode())
    page = owner.get(reverse("evolution:sharing", args=[laboratory.private.pk])).content.decode()
    assert "Reviewer" in page
    assert secret not in page
    assert secret not in json.dumps(list(laboratory.private.share_links.values()), default=str)
    opened = Client().get(reverse("evolution:shared", args=[secret]))
    assert opened.url == laboratory.private.get_absolute_url()
    assert opened.headers["Referrer-Policy"] == "no-referrer"
    laboratory.private.share_links.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Client().get(reverse("evolution:shared", args=[secret])).status_code == 404


def test_a_public_site_is_read_by_everybody_and_changed_by_nobody(laboratory, settings):
    settings.E2L_PUBLIC = True
    visitor = laboratory.clients["nobody"]
    shared_rule = make_rule(SHARED_RULE).get_absolute_url()
    for path in ("/", "/rules/?task=error-driven", "/compare/", shared_rule):
        html = visitor.get(path).content.decode()
        assert "Hidden" not in html
        assert "Sign in</a>" in html
        for text in ("New experiment", ">Lab<", "Archive</button>", ">Simulate</button>", "Keep<"):
            assert text not in html, (path, text)
    assert "For all" in visitor.get("/").content.decode()
    assert visitor.get(laboratory.shared.get_absolute_url()).status_code == 200
    assert visitor.get(laboratory.private.get_absolute_url()).status_code == 404
    assert visitor.get(laboratory.rule.get_absolute_url()).status_code == 404
    assert visitor.get(f"{shared_rule}export/latex").status_code == 200
    assert visitor.get(f"{laboratory.rule.get_absolute_url()}export/latex").status_code == 404
    for route in sorted(ROUTES):
        if route in {"sign-in", "welcome", "set-password", "evolution:shared"}:
            continue
        path = reverse(route, kwargs=laboratory.arguments(route, ROUTES[route]))
        response = visitor.post(path)
        is_sign_in = response.status_code == 302 and response.url.startswith("/sign-in/")
        assert is_sign_in or response.status_code in {401, 405}, route


def test_a_deactivated_account_and_a_lower_role_count_at_once(laboratory):
    stranger = laboratory.clients["stranger"]
    assert stranger.get("/lab/").status_code == 200
    operator, user = laboratory.users["operator"], laboratory.users["stranger"]
    accounts.set_role(user, Role.VIEWER, by=operator)
    assert stranger.get("/lab/").status_code == 403
    accounts.set_active(user, is_active=False, by=operator)
    assert stranger.get("/").status_code == 302


def test_existing_accounts_without_a_role_keep_working(django_user_model):
    first = django_user_model.objects.create_superuser("first")
    other = django_user_model.objects.create_user("other")
    assert access.role_of(first) is Role.OPERATOR
    assert access.role_of(other) is Role.MEMBER
    (loaded,) = access.with_role(django_user_model.objects.filter(pk=other.pk))
    assert access.role_of(loaded) is Role.MEMBER
