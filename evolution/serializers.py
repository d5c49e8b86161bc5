"""Shapes of the messages that workers, pages and the browser exchange."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class RuleMessage(TypedDict):
    """A rule for display."""

    id: int
    text: list[str]
    mathml: list[str]
    complexity: int


class GenerationMessage(TypedDict):
    """One completed generation of one run.

    ``rule`` is there where the champion's rule differs from the one of the generation
    before, so that a long history stays small. ``fitness`` is None for minus infinity.
    """

    run: int
    generation: int
    fitness: float | None
    is_improvement: bool
    n_evaluations: int
    n_cached: int
    rule: NotRequired[RuleMessage]


class RunMessage(TypedDict):
    """Where a run stands; ``improved_at`` is the generation of the last fitter champion."""

    run: int
    seed: int
    state: str
    stop_reason: str
    generation: int
    fitness: float | None
    improved_at: int


class PartsMessage(TypedDict):
    """The parts of an experiment's page that the server writes.

    ``figures`` is HTML, and ``records`` a digest of what is shown of failures and activity.
    """

    figures: str
    records: str


class KnownMessage(TypedDict):
    """How the champion relates to the rules of the literature.

    ``rule`` is the number of its rule, ``html`` what a page shows.
    """

    rule: int | None
    html: str


class ExperimentMessage(TypedDict):
    """Where an experiment stands."""

    state: str
    is_archived: bool
    n_generations: int
    runs: list[RunMessage]
    elapsed_s: float | None
    remaining_s: float | None
