"""What groups of runs have found, by complexity: their Pareto fronts."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.db import connection

from evolution.fronts import FrontPoint
from evolution.models import Evaluation, Individual

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evolution.comparison import Group

#: More fronts than colours in the style sheet cannot be told apart.
MAX_FRONTS = 8
#: Parts of one compound statement, which SQLite allows 500 of.
_MAX_SEEKS = 400


def fronts(groups: Sequence[Group]) -> list[list[FrontPoint]]:
    """Return the Pareto front of what each group's runs have found, of the first few groups.

    Two statements: which complexities there are in the groups' contexts, and for each of them one
    seek for the fittest rule that an individual of the group has. That goes by indices; several
    experiments may share a context, whose evaluations know nothing of runs.
    """
    groups = [group for group in groups[:MAX_FRONTS] if group.runs]
    in_context: dict[int, list[int]] = defaultdict(list)
    rows = (
        Evaluation.objects.filter(context__in={g.experiment.context_id for g in groups} - {None})
        .order_by("context", "complexity")
        .values_list("context_id", "complexity")
        .distinct()
    )
    for context_id, complexity in rows:
        in_context[context_id].append(complexity)
    parts, values = [], []
    for group in groups:
        each = _MAX_SEEKS // len(groups)
        for complexity in in_context[group.experiment.context_id][:each]:
            part, own = _seek(group, complexity)
            parts.append(part)
            values += own
    fittest: dict[int, list[tuple[int, float, int]]] = defaultdict(list)
    if parts:
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(parts), values)
            for place, complexity, score, rule_id in cursor.fetchall():
                fittest[place].append((complexity, score, rule_id))
    return [_non_dominated(fittest[group.place]) for group in groups]


def _seek(group: Group, complexity: int) -> tuple[str, list[Any]]:
    name = connection.ops.quote_name
    stretches = _stretches(run.pk for run in group.runs)
    of_group = " OR ".join(["i.run_id BETWEEN %s AND %s"] * len(stretches))
    part = f"""
        SELECT * FROM (
            SELECT {group.place:d} AS place, e.complexity, e.score, e.rule_id
            FROM {name(Evaluation._meta.db_table)} e
            WHERE e.context_id = %s AND e.complexity = %s AND e.score IS NOT NULL
            AND e.n_trials_done >= %s AND EXISTS (
                SELECT 1 FROM {name(Individual._meta.db_table)} i
                WHERE i.rule_id = e.rule_id AND ({of_group})
            )
            ORDER BY e.score DESC LIMIT 1
        ) AS fittest
    """  # noqa: S608
    experiment = group.experiment
    values = [experiment.context_id, complexity, experiment.task_parameters["n_trials"]]
    return part, values + [end for stretch in stretches for end in stretch]


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
