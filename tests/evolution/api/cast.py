"""The people of the tests of the API, and experiments that they may or may not see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from django.utils import timezone

from evolution.enums import ExperimentState, ProbeState, Role, Scope, Visibility
from evolution.experiment_export import export_experiment
from evolution.models import (
    ApiToken,
    Evaluation,
    Experiment,
    Individual,
    Probe,
    Recording,
    Rule,
    Validation,
    Worker,
)
from evolution.services import accounts, probes, sharing, tokens, validations
from simulations.learning_tasks import get_learning_task
from simulations.recordings import pack
from tests.evolution import histories

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import User


def account(name: str, role: Role = Role.MEMBER) -> User:
    """Return a new account."""
    return accounts.create_account(name, role, by=None)


def token_of(user: User, scopes: Iterable[Scope] = Scope) -> str:
    """Return the secret of a new token."""
    lifetime = timedelta(days=1)
    return tokens.create_token(user, name="test", scopes=scopes, lifetime=lifetime)[1]


def bearer(user: User, scopes: Iterable[Scope] = Scope) -> dict[str, str]:
    """Return the headers of requests with a new token."""
    return {"Authorization": f"Bearer {token_of(user, scopes)}"}


def experiment_of(
    owner: User | None, state: ExperimentState, *, name: str = "A test", with_history: bool = True
) -> Experiment:
    """Return an experiment of two runs with a history in some state."""
    experiment = histories.make_experiment(name=name, running=False)
    experiment.owner = owner
    experiment.save()
    if state == ExperimentState.CREATED:
        return experiment
    if with_history:
        for run in experiment.runs.order_by("index"):
            histories.add_typical_history(run, n_each=3)
    histories.finish(experiment, state)
    if not state.is_final:
        experiment.finished_at = None
        experiment.save()
        experiment.runs.update(finished_at=None)
    return experiment


@dataclass
class Cast:
    """Everybody, and what there is.

    Attributes
    ----------
    hidden : list of Experiment
        Private ones of the other member.
    people, tokens : list of int
        Numbers of accounts that play no part, and of their tokens.
    links : list of int
        Numbers of links to the first experiment.
    """

    member: User
    other: User
    viewer: User
    operator: User
    own: list[Experiment]
    hidden: list[Experiment]
    people: list[int]
    tokens: list[int]
    links: list[int]

    @property
    def experiments(self) -> list[int]:
        """Numbers of all experiments."""
        return [experiment.pk for experiment in (*self.own, *self.hidden)]

    @cached_property
    def file(self) -> bytes:
        """An experiment file."""
        return b"".join(export_experiment(self.own[0], written_by={}))

    @cached_property
    def rules(self) -> list[int]:
        """Numbers of rules."""
        return list(Rule.objects.order_by("pk").values_list("pk", flat=True)[:20])

    @cached_property
    def validations(self) -> list[int]:
        """Numbers of validations."""
        return list(Validation.objects.order_by("pk").values_list("pk", flat=True)[:20])

    @cached_property
    def simulations(self) -> list[int]:
        """Numbers of simulations."""
        return list(Probe.objects.order_by("pk").values_list("pk", flat=True)[:20])


def make_cast(n_each: int = 1) -> Cast:
    """Return people with experiments in each state, rules and simulations."""
    member, other = account("mia"), account("otto")
    states = [state for state in ExperimentState if state != ExperimentState.PUBLISHED]
    own = [
        experiment_of(member, state, name=f"{state} {number}")
        for number in range(n_each)
        for state in states
    ]
    hidden = [experiment_of(other, ExperimentState.FINISHED, name="Secret")]
    sharing.set_visibility(hidden[0], Visibility.PRIVATE, by=other)
    for behind in own[:2]:
        behind.tags, behind.notes = ["pilot"], "Notes."
        behind.save()
    Individual.objects.filter(run__experiment=own[-1]).update(outcome="crash", fitness=None)
    task = get_learning_task("error-driven")
    rule = Rule.objects.order_by("pk").first()
    assert rule is not None
    probe = probes.request_probe(rule, task, preset="demo", owner=member)
    in_words = {"title": "Weights", "summary": "They grow."}
    Probe.objects.filter(pk=probe.pk).update(
        state=ProbeState.FINISHED,
        result={"value": -1.0, "panels": [in_words]},
        panels=[{**in_words, "series": [{"x": [1], "y": [2]}]}],
        n_steps_done=1,
        finished_at=timezone.now(),
    )
    preset = task.presets["demo"]
    validations.request_validation(
        [rule], task, preset=preset, parameters=preset.task_parameters, n_trials=3, owner=member
    )
    for place, evaluation in enumerate(Evaluation.objects.filter(demands__isnull=False)):
        # Of the others one fails, and one is not known yet.
        evaluation.trials = [[-1.5, -2.0], [], [-3.0]][place % 3]
        evaluation.n_trials_done = len(evaluation.trials)
        evaluation.save()
    arrays = {"output_spike_times_ms": np.array([1.0])}
    Recording.objects.create(probe=probe, content=pack(arrays))
    Worker.objects.create(name="node1:1:1", host="node1")
    extras = [account(f"nobody{number}") for number in range(2)]
    for extra in extras:
        token_of(extra)
    return Cast(
        member=member,
        other=other,
        viewer=account("vera", Role.VIEWER),
        operator=account("olga", Role.OPERATOR),
        own=own,
        hidden=hidden,
        people=[extra.pk for extra in extras],
        tokens=list(ApiToken.objects.filter(owner__in=extras).values_list("pk", flat=True)),
        links=[sharing.create_link(own[0], by=member)[0].pk for _ in range(3)],
    )
