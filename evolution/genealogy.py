"""Reads of lineages: who descends from whom in a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import connection

from evolution.models import Individual

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from evolution.models import Run

#: What the steps of a lineage are told apart by, in the order of :class:`Ancestor`.
_COLUMNS = ("index", "parent_index", "birth_generation", "origin", "rule_id", "fitness")


@dataclass(frozen=True, slots=True)
class Ancestor:
    """An individual on the way from the initial population to another one."""

    index: int
    parent_index: int | None
    birth_generation: int
    origin: str
    rule_id: int | None
    fitness: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """A step of a lineage in which the rule changed, and the silent steps before it.

    Attributes
    ----------
    before : Ancestor or None
        The parent; None for the first ancestor.
    after : Ancestor
    n_neutral : int
        Number of mutations between the change before this one and this one that left the rule
        as it was: they went into ``before``'s genome.
    """

    before: Ancestor | None
    after: Ancestor
    n_neutral: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """The way from the first ancestor to an individual, neutral steps collapsed.

    Attributes
    ----------
    changes : tuple of Change
        The first is the first ancestor itself.
    n_neutral_at_end : int
        Neutral steps after the last change.
    length : int
        Number of individuals, neutral ones as well.
    """

    changes: tuple[Change, ...]
    n_neutral_at_end: int
    length: int


def ancestors(run: Run, index: int) -> list[Ancestor]:
    """Return an individual and all its ancestors, the first ancestor first.

    One recursive statement, which seeks each ancestor in the index of the run's individuals: a
    lineage has at most one individual per generation (and step of local search), of the many that
    were born.
    """
    table = connection.ops.quote_name(Individual._meta.db_table)
    names = ", ".join(f'"{name}"' for name in _COLUMNS)
    theirs = ", ".join(f'i."{name}"' for name in _COLUMNS)
    statement = f"""
        WITH RECURSIVE lineage ({names}) AS (
            SELECT {names} FROM {table} WHERE run_id = %s AND "index" = %s
            UNION ALL
            SELECT {theirs} FROM {table} i JOIN lineage
            ON i.run_id = %s AND i."index" = lineage.parent_index AND i."index" < lineage."index"
        )
        SELECT {names} FROM lineage ORDER BY "index"
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement, [run.pk, index, run.pk])
        return [Ancestor(*row) for row in cursor.fetchall()]


def collapse(ancestors: Sequence[Ancestor]) -> Lineage:
    """Return a lineage in which only the steps that changed the rule are left.

    A step is neutral where parent and offspring have the very same rule. That is what
    ``Individual.is_neutral`` and the outcome "inherited" say as well; comparing the rules of
    neighbours needs neither.
    """
    changes: list[Change] = []
    n_neutral = 0
    before: Ancestor | None = None
    for after in ancestors:
        if before is not None and after.rule_id is not None and after.rule_id == before.rule_id:
            n_neutral += 1
        else:
            changes.append(Change(before, after, n_neutral))
            n_neutral = 0
        before = after
    return Lineage(tuple(changes), n_neutral, len(ancestors))


def individuals_by_index(run: Run, indices: Iterable[int]) -> dict[int, Individual]:
    """Return individuals of a run with their rules by their number, in one statement."""
    wanted = {index for index in indices if index is not None}
    if not wanted:
        return {}
    found = Individual.objects.filter(run=run, index__in=wanted).select_related("rule")
    return {individual.index: individual for individual in _with_run(found, run)}


def offspring(run: Run, individual: Individual, limit: int) -> tuple[list[Individual], int]:
    """Return the first offspring of an individual with their rules, and how many there are.

    Offspring are born in the generation of their parent at the earliest: by the index of birth
    generations only the rest of the run is looked at.
    """
    born = Individual.objects.filter(
        run=run,
        birth_generation__gte=individual.birth_generation,
        parent_index=individual.index,
    )
    # The unique index of (run, index) would lead through the whole run.
    indices = sorted(born.values_list("index", flat=True))
    first = individuals_by_index(run, indices[:limit])
    return [first[index] for index in indices[:limit]], len(indices)


def population(run: Run, generation: int, parents: Sequence[int]) -> list[Individual]:
    """Return everybody of a generation: survivors in their order, then the others that were born.

    Parameters
    ----------
    parents : sequence of int
        Numbers of the survivors, the fittest first.
    """
    born = Individual.objects.filter(run=run, birth_generation=generation).select_related("rule")
    by_index = {individual.index: individual for individual in _with_run(born, run)}
    by_index |= individuals_by_index(run, set(parents) - by_index.keys())
    survivors = [by_index.pop(index) for index in parents if index in by_index]
    others = [by_index[index] for index in sorted(by_index)]
    return [*survivors, *others]


def _with_run(individuals: Iterable[Individual], run: Run) -> Iterator[Individual]:
    """Yield individuals that know their run, so that their address costs no statement."""
    for individual in individuals:
        individual.run = run
        yield individual
