"""Figures of the paper: their simulations, asked for as probes so that each is done once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution.enums import ProbeKind
from evolution.figure_choice import held_out_rules
from evolution.models import Probe
from evolution.services import notes, probes

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

    from evolution.figure_choice import FigureChoice
    from evolution.services.probes import Question

# Recording what people see costs more than a trial of evolution.
_RECORDING = 3.0


def questions(choice: FigureChoice) -> dict[str, Question]:
    """Return the simulations of a figure by kind: a trial to show, and held-out trials."""
    return {ProbeKind.FIGURE: _shown(choice), ProbeKind.HELD_OUT: _held_out(choice)}


def answers(choice: FigureChoice) -> dict[str, Probe | None]:
    """Return what is known of the two simulations, without their panels; one statement more."""
    asked = questions(choice)
    known = {
        probe.digest: probe
        for probe in Probe.objects.filter(
            digest__in=[question.digest for question in asked.values()]
        ).defer("panels")
    }
    return {kind: known.get(question.digest) for kind, question in asked.items()}


def request_missing(choice: FigureChoice, *, owner: AbstractBaseUser | None) -> None:
    """Ask workers for the simulations of a figure that are not there yet.

    Raises
    ------
    ProbeRefused
        If too many simulations of the person wait already.
    """
    rule = notes.add_to_catalogue(choice.shown_rule)
    for question in questions(choice).values():
        probes.ask(question, rule, owner=owner)


def _shown(choice: FigureChoice) -> Question:
    figure = choice.figure
    parameters = figure.parameters()
    values = parameters.to_mapping()
    return probes.Question(
        digest=probes.digest_of(
            choice.shown_rule.key, figure.name, values, figure.preset.seed, ProbeKind.FIGURE
        ),
        kind=ProbeKind.FIGURE,
        learning_task_name=figure.learning_task_name,
        preset=figure.preset.name,
        task_parameters=values,
        seed=figure.preset.seed,
        n_steps=1,
        estimated_s=_RECORDING * figure.learning_task.estimate_seconds(parameters),
        figure={"name": figure.name},
    )


def _held_out(choice: FigureChoice) -> Question:
    figure = choice.figure
    parameters = figure.held_out_parameters()
    values = parameters.to_mapping()
    rules = held_out_rules(choice)
    seed = figure.preset.validation_seed
    estimated_s = figure.learning_task.estimate_seconds(parameters, len(rules))
    return probes.Question(
        digest=probes.digest_of(rules, figure.name, values, seed, ProbeKind.HELD_OUT),
        kind=ProbeKind.HELD_OUT,
        learning_task_name=figure.learning_task_name,
        preset=figure.preset.name,
        task_parameters=values,
        seed=seed,
        n_steps=parameters.n_trials,
        estimated_s=parameters.n_trials * estimated_s,
        figure={"name": figure.name, "rules": rules},
    )
