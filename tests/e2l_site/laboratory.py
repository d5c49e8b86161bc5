"""A laboratory with people, experiments, rules and their addresses, for tests that walk all routes.

The owner, a member, has a private experiment and one that the laboratory may read. The stranger
is another member; the guest has no account but a link to the private experiment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from evolution.enums import (
    ContextPurpose,
    EvaluationState,
    ProbeKind,
    ProbeState,
    Role,
    ValidationKind,
    ValidationState,
    Visibility,
)
from evolution.models import (
    Evaluation,
    EvaluationContext,
    Experiment,
    Probe,
    Recording,
    Rule,
    Validation,
)
from evolution.services import accounts, sharing
from simulations.learning_tasks import get_learning_task
from simulations.recordings import pack
from tests.evolution.histories import add_generations, finish, make_experiment, make_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.auth.models import User

PRIVATE_RULE, SHARED_RULE = "(v - u)*s**3", "(v - u)*s"
PEOPLE = ("nobody", "guest", "viewer", "stranger", "owner", "operator")


class Laboratory:
    """People, experiments and rules."""

    def __init__(self) -> None:
        self.users = {
            name: accounts.create_account(name, role, by=None)
            for name, role in (
                ("viewer", Role.VIEWER),
                ("stranger", Role.MEMBER),
                ("owner", Role.MEMBER),
                ("operator", Role.OPERATOR),
            )
        }
        owner = self.users["owner"]
        self.shared = self._experiment("For all", owner, SHARED_RULE)
        self.private = self._experiment("Hidden", owner, PRIVATE_RULE)
        sharing.set_visibility(self.private, Visibility.PRIVATE, by=owner)
        self.rule = make_rule(PRIVATE_RULE)
        Rule.objects.filter(pk=self.rule.pk).update(shared_at=None)
        self.probe = Probe.objects.create(
            digest="d", kind=ProbeKind.BEHAVIOUR, rule=self.rule, learning_task_name="error-driven",
            preset="demo", task_parameters={}, seed=1, n_steps=1, estimated_s=1.0,
            state=ProbeState.FINISHED, panels=[_PANEL], result={"value": -1.0, "panels": []},
            finished_at=timezone.now(),
        )  # fmt: skip
        recorded = pack({"output_spike_times_ms": np.array([1.0])})
        Recording.objects.create(probe=self.probe, content=recorded)
        self.validation = self.add_validation(self.rule, self.private)
        self.link, self.secret = sharing.create_link(self.private, by=owner)
        self.spare_link, _ = sharing.create_link(self.private, by=owner)
        self.clients = {name: Client() for name in PEOPLE}
        for name, user in self.users.items():
            self.clients[name].force_login(user)
        opened = self.clients["guest"].get(reverse("evolution:shared", args=[self.secret]))
        assert opened.status_code == 302

    def _experiment(self, name: str, owner: User, text: str) -> Experiment:
        experiment = make_experiment(name=name, n_runs=1, n_generations=1)
        experiment.owner = owner
        experiment.context = EvaluationContext.objects.create(
            digest=name, learning_task_name="error-driven", task_parameters={}, seed=1,
            engine_version="", shared_at=None if name == "Hidden" else experiment.created_at,
        )  # fmt: skip
        experiment.save()
        add_generations(experiment.runs.get(), [(text, -20.0), (None, -20.0)])
        finish(experiment, "finished")
        return Experiment.objects.get(pk=experiment.pk)

    def add_validation(self, rule: Rule, experiment: Experiment | None) -> Validation:
        """Return an open validation by the owner, whose values the laboratory does not know."""
        preset = get_learning_task("error-driven").presets["demo"]
        name = f"held out {rule.pk}"
        context = EvaluationContext.objects.create(
            digest=name, learning_task_name="error-driven", seed=preset.validation_seed,
            task_parameters=preset.task_parameters.to_mapping(), engine_version="",
            purpose=ContextPurpose.VALIDATION, shared_at=None,
        )  # fmt: skip
        Evaluation.objects.create(
            context=context, rule=rule, trials=[-1.25, -1.75], n_trials_done=2, worst=-1.75,
            score=-1.5, complexity=rule.complexity, state=EvaluationState.DONE,
        )  # fmt: skip
        common = {
            "rule": rule, "context": context, "n_trials": 2, "owner": self.users["owner"],
            "experiment": experiment, "estimated_s": 1.0,
        }  # fmt: skip
        Validation.objects.create(
            digest=f"robust {name}", kind=ValidationKind.ROBUSTNESS, subject="Secret rule",
            state=ValidationState.FINISHED, **common,
        )  # fmt: skip
        return Validation.objects.create(
            digest=name, kind=ValidationKind.VALIDATION, subject="Secret rule", **common
        )

    def arguments(self, route: str, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the arguments of a route, about what is private where there is a choice."""
        pk = self.private.pk
        if route in {
            "evolution:rule",
            "evolution:rule-shape",
            "evolution:export-rule",
            "evolution:simulate-rule",
            "evolution:rule-note",
            "evolution:validate-rule",
            "evolution:rule-validation",
            "evolution:rule-validating",
            "evolution:held-out-trials",
            "evolution:rule-robustness",
            *(f"api:{name}" for name in _OF_RULES),
        }:
            pk = self.rule.pk
        elif route in {
            "evolution:probe",
            "evolution:probe-panel",
            "api:simulation",
            "api:panel",
            "api:recording",
        }:
            pk = self.probe.pk
        elif route in {"evolution:cancel-validation", "api:validation", "api:cancel"}:
            pk = self.validation.pk
        elif route in {
            "evolution:account-role",
            "evolution:account-active",
            "evolution:password-link",
            "api:person",
        }:
            pk = self.users["stranger"].pk
        known = {
            "pk": pk, "number": 1, "index": 0, "link": self.spare_link.pk, "name": "fitness",
            "context_id": self.validation.context_id,
            "secret": "no-such-secret", "token": "no-such-token", "uidb64": "MQ",
        }  # fmt: skip
        if route in {"evolution:probe-recording", "api:recording"}:
            known |= {"pk": self.probe.pk, "kind": "zip"}
        if route.startswith(("evolution:figure", "api:figure")):
            known |= {"name": "fig5", "key": "5E"}
        elif route == "evolution:export-rule":
            known |= {"name": "latex"}
        return {name: known[name] for name in names}


_OF_RULES = (
    "rule", "forms", "family", "occurrences", "evaluations", "exports", "note", "held-out",
    "validations", "robustness", "simulations-of", "shape",
)  # fmt: skip
_PANEL = {
    "kind": "lines", "title": "t", "summary": "s", "x_label": "x", "y_label": "y",
    "series": [{"name": "a", "x": [0.0, 1.0], "y": [0.0, 1.0]}],
}  # fmt: skip


def query(route: str, laboratory: Laboratory) -> str:
    """Return the query of addresses that name an experiment there: the private one."""
    pk, context = laboratory.private.pk, laboratory.private.context_id
    return {
        "evolution:compare": f"?experiment={pk}",
        "evolution:compare-figure": f"?experiment={pk}",
        "evolution:rules-front": f"?task=error-driven&context={context}",
        "api:comparison": f"?experiment={pk}",
        "api:rules": "?task=error-driven",
        "api:contexts": "?task=error-driven",
        "api:front": f"?task=error-driven&context={context}",
        "evolution:new-experiment": f"?from={pk}",
        "evolution:estimate": f"?from={pk}",
    }.get(route, "")


def routes() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name of every route and the names of its arguments."""

    def walk(resolver: URLResolver, namespace: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        for pattern in resolver.url_patterns:
            if isinstance(pattern, URLResolver):
                inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
                yield from walk(pattern, inner)
            else:
                assert isinstance(pattern, URLPattern)
                assert pattern.name, f"The route {pattern.pattern} has no name."
                yield f"{namespace}{pattern.name}", tuple(pattern.pattern.converters)

    return walk(get_resolver(), "")


ROUTES = dict(routes())
