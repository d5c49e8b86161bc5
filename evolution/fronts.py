"""Reads of rules in the plane of complexity and fitness: the fittest ones, and Pareto fronts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import connection

from evolution.models import Evaluation, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Rules of each complexity that a front is made of. The first front is exact; only a complexity
#: with so many forms of the same few fittest classes could lack a point of a later one.
_N_FITTEST = 40
#: Parts of one compound statement, which SQLite allows 500 of.
_MAX_COMPLEXITIES = 200


@dataclass(frozen=True)
class FrontPoint:
    """A class of rules in the plane of complexity and fitness; ``layer`` 0 is the Pareto front."""

    rule_id: int
    complexity: int
    fitness: float
    layer: int = field(default=0)


def complexities_in(contexts: Iterable[int]) -> list[tuple[int, int]]:
    """Return (context, complexity) of all rules that were evaluated there, in order.

    One statement: a seek in the index for each, however many rules have the same complexity.
    """
    ids = sorted(contexts)
    if not ids:
        return []
    evaluation = connection.ops.quote_name(Evaluation._meta.db_table)
    statement = f"""
        WITH RECURSIVE asked (context_id) AS (VALUES {", ".join(["(%s)"] * len(ids))}),
        step (context_id, complexity) AS (
            SELECT asked.context_id, (
                SELECT MIN(e.complexity) FROM {evaluation} e
                WHERE e.context_id = asked.context_id
            ) FROM asked
            UNION ALL
            SELECT step.context_id, (
                SELECT MIN(e.complexity) FROM {evaluation} e
                WHERE e.context_id = step.context_id AND e.complexity > step.complexity
            ) FROM step WHERE step.complexity IS NOT NULL
        )
        SELECT context_id, complexity FROM step WHERE complexity IS NOT NULL
        ORDER BY context_id, complexity
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement, ids)
        return [tuple(row) for row in cursor.fetchall()]


def fittest_by_complexity(context_id: int, n_trials: int) -> list[tuple[int, int, float, str]]:
    """Return (rule, complexity, score, fingerprint) of the fittest rules of each complexity.

    Only rules that the laboratory knows, and that were evaluated in at least ``n_trials`` trials
    of the context, count.

    Two statements: which complexities there are, and one seek in the index for each.
    """
    complexities = [complexity for _, complexity in complexities_in([context_id])]
    complexities = complexities[:_MAX_COMPLEXITIES]
    if not complexities:
        return []
    name = connection.ops.quote_name

    def seek(complexity: str) -> str:
        return f"""
            SELECT e.rule_id, e.complexity, e.score, known.fingerprint
            FROM {name(Evaluation._meta.db_table)} e
            JOIN {name(Rule._meta.db_table)} known
            ON known.id = e.rule_id AND known.shared_at IS NOT NULL
            WHERE e.context_id = %s AND e.complexity = {complexity} AND e.score IS NOT NULL
            AND e.n_trials_done >= %s
            ORDER BY e.score DESC LIMIT %s
        """  # noqa: S608

    values: list[int] = []
    if connection.vendor == "postgresql":
        # It takes longer to plan as many seeks as there are complexities than to do them.
        places = ", ".join(["(%s)"] * len(complexities))
        statement = f"""
            SELECT fittest.* FROM (VALUES {places}) AS asked (complexity)
            CROSS JOIN LATERAL ({seek("asked.complexity")}) AS fittest
        """  # noqa: S608
        values = [*complexities, context_id, n_trials, _N_FITTEST]
    else:
        part = f"SELECT * FROM ({seek('%s')}) AS fittest"  # noqa: S608
        statement = " UNION ALL ".join([part] * len(complexities))
        for complexity in complexities:
            values += [context_id, complexity, n_trials, _N_FITTEST]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [tuple(row) for row in cursor.fetchall()]


def front_rules(context_id: int, n_trials: int) -> list[Rule]:
    """Return the rules of the Pareto front in a context, the simplest first."""
    points = pareto_fronts(fittest_by_complexity(context_id, n_trials), 1)
    rules = Rule.objects.in_bulk([point.rule_id for point in points])
    return [rules[point.rule_id] for point in points]


def pareto_fronts(rows: Iterable[tuple[int, int, float, str]], n_layers: int) -> list[FrontPoint]:
    """Return the non-dominated classes of rules, then those without these, and so on.

    A class counts with its simplest member. It is dominated by one that is not more complex
    and not less fit, and better in one of both.

    Parameters
    ----------
    rows : iterable of (int, int, float, str)
        Rule, complexity, fitness and fingerprint.
    n_layers : int
        How many fronts.
    """
    simplest: dict[str, tuple[int, float, int]] = {}
    for rule_id, complexity, fitness, fingerprint in rows:
        known = simplest.get(fingerprint)
        if known is None or (complexity, -fitness, rule_id) < (known[0], -known[1], known[2]):
            simplest[fingerprint] = (complexity, fitness, rule_id)
    left = sorted(simplest.values(), key=lambda item: (item[0], -item[1], item[2]))
    points: list[FrontPoint] = []
    for layer in range(n_layers):
        dominated = []
        best, best_complexity = float("-inf"), -1
        for complexity, fitness, rule_id in left:
            if fitness > best or (fitness == best and complexity == best_complexity):
                best, best_complexity = fitness, complexity
                points.append(FrontPoint(rule_id, complexity, fitness, layer))
            else:
                dominated.append((complexity, fitness, rule_id))
        left = dominated
    return points
