"""What groups of runs have found, by complexity: their Pareto fronts."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from django.db import connection

from evolution.fronts import FrontPoint, complexities_in
from evolution.models import Evaluation, Individual

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evolution.comparison import Group


def fronts(groups: Sequence[Group]) -> list[list[FrontPoint]]:
    """Return the Pareto front of what each group's runs have found, in the order of the groups.

    Two statements: which complexities there are in the groups' contexts, and for each of them one
    seek for the fittest rule that an individual of the group has. That goes by indices; several
    experiments may share a context, whose evaluations know nothing of runs.
    """
    in_context: dict[int, list[int]] = defaultdict(list)
    contexts = {group.experiment.context_id for group in groups} - {None}
    for context_id, complexity in complexities_in(contexts):
        in_context[context_id].append(complexity)
    seeks = [
        (number, context_id, complexity, group.experiment.task_parameters["n_trials"])
        for number, group in enumerate(groups)
        if group.runs
        for context_id in [group.experiment.context_id]
        for complexity in in_context[context_id]
    ]
    stretches = [
        (number, *ends)
        for number, group in enumerate(groups)
        for ends in _stretches(run.pk for run in group.runs)
    ]
    fittest: dict[int, list[tuple[int, float, int]]] = defaultdict(list)
    if seeks:
        for number, *row in _fittest(seeks, stretches):
            fittest[number].append(tuple(row))
    return [_non_dominated(fittest[number]) for number in range(len(groups))]


def _fittest(
    seeks: Sequence[tuple[int, int, int, int]], stretches: Sequence[tuple[int, int, int]]
) -> list[tuple[int, int, float, int]]:
    """Return number of the group, complexity, fitness and rule of each seek that finds one."""
    name = connection.ops.quote_name
    statement = f"""
        WITH seek (place, context_id, complexity, n_trials) AS (VALUES {_places(seeks)}),
        stretch (place, first_run, last_run) AS (VALUES {_places(stretches)}),
        found AS (
            SELECT seek.place, (
                SELECT e.id FROM {name(Evaluation._meta.db_table)} e
                WHERE e.context_id = seek.context_id AND e.complexity = seek.complexity
                AND e.score IS NOT NULL AND e.n_trials_done >= seek.n_trials
                AND EXISTS (
                    SELECT 1 FROM {name(Individual._meta.db_table)} i
                    CROSS JOIN stretch
                    WHERE stretch.place = seek.place AND i.rule_id = e.rule_id
                    AND i.run_id BETWEEN stretch.first_run AND stretch.last_run
                )
                ORDER BY e.score DESC LIMIT 1
            ) AS evaluation_id
            FROM seek
        )
        SELECT found.place, e.complexity, e.score, e.rule_id FROM found
        JOIN {name(Evaluation._meta.db_table)} e ON e.id = found.evaluation_id
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement, [value for row in (*seeks, *stretches) for value in row])
        return cursor.fetchall()


def _places(rows: Sequence[tuple[int, ...]]) -> str:
    row = f"({', '.join(['%s'] * len(rows[0]))})"
    return ", ".join([row] * len(rows))


def _stretches(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return first and last of each stretch of numbers that follow each other."""
    stretches: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1] = (stretches[-1][0], number)
        else:
            stretches.append((number, number))
    return stretches


def _non_dominated(rows: Iterable[tuple[int, float, int]]) -> list[FrontPoint]:
    points: list[FrontPoint] = []
    for complexity, fitness, rule_id in sorted(rows):
        if not points or fitness > points[-1].fitness:
            points.append(FrontPoint(rule_id, complexity, fitness))
    return points
