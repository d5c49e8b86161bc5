"""Reads of whether a reproduction is the same as its original, generation by generation.

Two histories are the same if every generation has the same champion with the same fitness, the
same survivors, and individuals with the same genomes, rules and fitness: bit for bit. The database
compares them, so that the histories of a million individuals need not be read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import connection

from evolution.enums import ExperimentState
from evolution.models import Generation, Individual, Rule, Run
from evolution.selectors import last_generation, runs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evolution.models import Experiment


@dataclass(frozen=True)
class Champion:
    """The champion of a generation."""

    rule: Rule | None
    fitness: float | None


@dataclass
class RunDifference:
    """How a run differs from the run of the same seed.

    Attributes
    ----------
    n_generations, n_generations_again : int
        Last generation of the original and of the reproduction, -1 for none.
    is_over : bool
        Whether the reproduction has ended.
    first : int or None
        The first generation that differs, None if none of those that both have does.
    what : list of str
        What differs in that generation.
    n_different : int
        Generations whose champion or survivors differ.
    largest : float
        Largest difference of the champions' fitness; infinite where one has none.
    before, again : Champion or None
        Those of the first generation that differs.
    """

    number: int
    seed: int
    n_generations: int
    n_generations_again: int
    is_over: bool
    first: int | None = None
    what: list[str] = field(default_factory=list)
    n_different: int = 0
    largest: float = 0.0
    before: Champion | None = None
    again: Champion | None = None

    @property
    def n_compared(self) -> int:
        """Generations that both have."""
        return 1 + min(self.n_generations, self.n_generations_again)

    @property
    def largest_text(self) -> str:
        """The largest difference for people; differences may be of the last digits."""
        return "0" if not self.largest else f"{self.largest:.3g}".replace("inf", "∞")

    @property
    def is_complete(self) -> bool:
        """Whether all generations of the original can be compared."""
        return self.n_generations_again >= self.n_generations

    @property
    def is_shorter(self) -> bool:
        """Whether the reproduction has ended before the original did."""
        return self.is_over and not self.is_complete

    @property
    def is_identical(self) -> bool:
        """Whether all generations are there and are the same."""
        return self.first is None and self.is_complete

    @property
    def verdict(self) -> str:
        """What is known so far, in words."""
        if self.first is not None:
            return f"differs from generation {self.first} on"
        if self.is_identical:
            return "identical"
        if self.is_shorter:
            return f"identical, but ended after generation {self.n_generations_again}"
        return "identical so far" if self.n_compared else "not begun"


@dataclass(frozen=True)
class Difference:
    """How a reproduction differs from its original.

    Attributes
    ----------
    software : list of (str, str, str)
        Name and versions of the software that differs.
    """

    runs: list[RunDifference]
    software: list[tuple[str, str, str]]

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be expected."""
        return all(run.is_over or run.is_complete for run in self.runs)

    @property
    def is_identical(self) -> bool:
        """Whether everything is the same, bit for bit."""
        return all(run.is_identical for run in self.runs)

    @property
    def n_different(self) -> int:
        """Runs that differ."""
        return sum(run.first is not None for run in self.runs)

    @property
    def progress(self) -> float:
        """Share of the original's generations that are there again, from 0 to 1."""
        n_all = sum(run.n_generations + 1 for run in self.runs)
        done = sum(run.n_generations + 1 if run.is_over else run.n_compared for run in self.runs)
        return done / n_all if n_all else 1.0

    @property
    def verdict(self) -> str:
        """What is known so far, in words."""
        n_compared = sum(run.n_compared for run in self.runs)
        if self.n_different:
            return f"{self.n_different} of {len(self.runs)} runs differ."
        if self.is_identical:
            return f"Identical, bit for bit: {n_compared} generations of {len(self.runs)} runs."
        if self.is_over:
            n_short = sum(run.is_shorter for run in self.runs)
            return (
                f"Identical as far as it goes, but {n_short} of {len(self.runs)} runs are shorter."
            )
        return f"Identical so far: {n_compared} generations were compared."


def differences(reproduction: Experiment) -> Difference:
    """Compare a reproduction with its original, as far as both have come. At most nine statements.

    Parameters
    ----------
    reproduction : Experiment
        One that has an ``original``.
    """
    original = reproduction.original
    again = {run.index: run for run in runs_of(reproduction)}
    runs = {}
    for run in runs_of(original):
        other = again.get(run.index)
        if other is None:
            continue
        runs[run.index] = RunDifference(
            number=run.number,
            seed=run.seed,
            n_generations=last_generation(run),
            n_generations_again=last_generation(other),
            is_over=ExperimentState(other.state).is_final,
        )
    pair = (original.pk, reproduction.pk)
    for index, n_different, first, largest, has_infinite in _compare_generations(*pair):
        found = runs[index]
        found.n_different, found.first = n_different, first
        found.largest = math.inf if has_infinite else 2 * (largest or 0.0)
    for one, other in (pair, pair[::-1]):
        for index, first in _missing_individuals(one, other, is_strict=one == original.pk):
            found = runs[index]
            if found.first is None or first <= found.first:
                found.first = first
                found.what = ["individuals"]
    _describe(runs, original, reproduction)
    return Difference(list(runs.values()), _software(original, reproduction))


def _compare_generations(original: int, again: int) -> list[tuple[Any, ...]]:
    """Return by run how many generations differ, the first one, and half the largest difference.

    Half of it: PostgreSQL raises an error where a difference is too large for a float.
    """
    generation, run, individual = _tables(Generation, Run, Individual)
    differs = f"""NOT COALESCE({_same("a.champion_fitness", "b.champion_fitness")}
        AND {_same("ca.rule_id", "cb.rule_id")} AND ca."index" = cb."index"
        AND a.parents = b.parents, FALSE)"""
    statement = f"""
        SELECT ra."index", COUNT(CASE WHEN {differs} THEN 1 END),
               MIN(CASE WHEN {differs} THEN a."index" END),
               MAX(ABS(a.champion_fitness / 2 - b.champion_fitness / 2)),
               COUNT(CASE WHEN (a.champion_fitness IS NULL) <> (b.champion_fitness IS NULL)
                     THEN 1 END)
        FROM {run} ra
        JOIN {run} rb ON rb.experiment_id = %s AND rb."index" = ra."index"
        JOIN {generation} a ON a.run_id = ra.id
        JOIN {generation} b ON b.run_id = rb.id AND b."index" = a."index"
        JOIN {individual} ca ON ca.id = a.champion_id
        JOIN {individual} cb ON cb.id = b.champion_id
        WHERE ra.experiment_id = %s
        GROUP BY ra."index"
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement, [again, original])
        return cursor.fetchall()


def _missing_individuals(one: int, other: int, *, is_strict: bool) -> list[tuple[int, int]]:
    """Return by run the first generation with an individual that the other experiment has not.

    Parameters
    ----------
    is_strict : bool
        Whether one with the same number must also be the same in everything else.
    """
    run, individual = _tables(Run, Individual)
    same = ["b.id IS NOT NULL"]
    if is_strict:
        same += [
            "a.birth_generation = b.birth_generation",
            "a.genome = b.genome",
            "a.origin = b.origin",
            _same("a.parent_index", "b.parent_index"),
            _same("a.rule_id", "b.rule_id"),
            _same("a.fitness", "b.fitness"),
            _same("a.constants", "b.constants"),
        ]
    statement = f"""
        SELECT ra."index", MIN(a.birth_generation)
        FROM {run} ra
        JOIN {run} rb ON rb.experiment_id = %s AND rb."index" = ra."index"
        JOIN {individual} a ON a.run_id = ra.id
        LEFT JOIN {individual} b ON b.run_id = rb.id AND b."index" = a."index"
        WHERE ra.experiment_id = %s AND rb.champion_id IS NOT NULL
        AND a.birth_generation <= ra.n_generations_done
        AND a.birth_generation <= rb.n_generations_done
        AND NOT COALESCE({" AND ".join(same)}, FALSE)
        GROUP BY ra."index"
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement, [other, one])
        return cursor.fetchall()


def _describe(
    runs: Mapping[int, RunDifference], original: Experiment, reproduction: Experiment
) -> None:
    """Say what differs in the first generation that does."""
    wanted = {index: run.first for index, run in runs.items() if run.first is not None}
    if not wanted:
        return
    before = _generations(original, wanted)
    again = _generations(reproduction, wanted)
    for index in wanted:
        old, new, found = before.get(index), again.get(index), runs[index]
        if old is None or new is None:
            continue
        found.before, found.again = (
            Champion(item.champion and item.champion.rule, item.champion_fitness)
            for item in (old, new)
        )
        differing = {
            "champion's rule": old.champion.rule_id != new.champion.rule_id,
            "champion's fitness": old.champion_fitness != new.champion_fitness,
            "survivors": old.parents != new.parents,
        }
        found.what = [*(name for name, is_so in differing.items() if is_so), *found.what]


def _generations(experiment: Experiment, wanted: Mapping[int, int]) -> dict[int, Generation]:
    found = (
        Generation.objects.filter(run__experiment=experiment, index__in=set(wanted.values()))
        .select_related("run", "champion__rule")
        .defer("run__engine_state", "run__pending", "champion__genome")
    )
    return {item.run.index: item for item in found if wanted.get(item.run.index) == item.index}


def _software(original: Experiment, reproduction: Experiment) -> list[tuple[str, str, str]]:
    before, again = original.provenance, reproduction.provenance
    rows = [
        (name, str(before.get(name, "not known")), str(again[name]))
        for name in again
        if before.get(name) != again[name]
    ]
    engines = [
        experiment.context.engine_version if experiment.context else ""
        for experiment in (original, reproduction)
    ]
    if all(engines) and engines[0] != engines[1]:
        rows.append(("engine", *engines))
    return rows


def _same(one: str, other: str) -> str:
    """Return the condition that two values are the same, or both are null; null for false."""
    # SQLite before 3.39 has no IS NOT DISTINCT FROM.
    return f"({one} = {other} OR ({one} IS NULL AND {other} IS NULL))"


def _tables(*models: Any) -> Iterable[str]:
    return [connection.ops.quote_name(model._meta.db_table) for model in models]
