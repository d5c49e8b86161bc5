"""Reads of where rules were found: the runs and experiments with an individual of a class.

Asked for the rules of one page only, by an index of (rule, run, index) through which a recursive
statement jumps from run to run: a form that a run has found a thousand times costs one step. A
table of counters would have made each generation dearer to write, and had to be kept right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import connection

from evolution.models import Experiment, Individual, Rule, Run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evolution.models.experiment import ExperimentQuerySet

#: Forms that are looked at to say where the classes of a page, or a single one, were found.
N_FORMS_OF_MANY, N_FORMS_OF_ONE = 16, 300


@dataclass(frozen=True)
class Discovery:
    """The first individual of a run with a rule of a class."""

    experiment_id: int
    experiment_name: str
    run_number: int
    index: int
    generation: int
    fitness: float | None


def _pairs(condition: str) -> str:
    """Return the part of a statement that names each (rule, run) in which a rule was found.

    Only rules that the laboratory knows are looked at, and one that is named. Of each class the
    simplest forms are looked at: neutral drift makes thousands of others, and their runs are mostly
    the same. The parameters after those of the condition are the id of the named rule, the
    number of forms of each class, and their number in all classes together, which nothing needs
    but PostgreSQL's planner: it would take so many rows for granted that it compiled the
    statement for half a second.
    """
    name = connection.ops.quote_name
    individual, rule = name(Individual._meta.db_table), name(Rule._meta.db_table)
    return f"""
        WITH RECURSIVE pair (rule_id, signature, fingerprint, run_id) AS (
            SELECT f.id, f.signature, f.fingerprint,
                   (SELECT MIN(i.run_id) FROM {individual} i WHERE i.rule_id = f.id)
            FROM (
                SELECT * FROM (
                    SELECT r.id, r.signature, r.fingerprint, ROW_NUMBER() OVER (
                        PARTITION BY r.fingerprint, r.signature ORDER BY r.complexity, r.id
                    ) AS place
                    FROM {rule} r WHERE {condition} AND (r.shared_at IS NOT NULL OR r.id = %s)
                ) AS member WHERE place <= %s LIMIT %s
            ) AS f
            UNION ALL
            SELECT p.rule_id, p.signature, p.fingerprint,
                   (SELECT MIN(i.run_id) FROM {individual} i
                    WHERE i.rule_id = p.rule_id AND i.run_id > p.run_id)
            FROM pair p WHERE p.run_id IS NOT NULL
        )
    """  # noqa: S608


def found_counts(
    fingerprints: Iterable[str],
    *,
    n_forms: int,
    visible: ExperimentQuerySet,
    rule_id: int | None = None,
) -> dict[tuple[str, str], tuple[int, int]]:
    """Return by (signature, fingerprint) in how many runs and experiments a class was found.

    Parameters
    ----------
    visible : queryset of Experiment
        Only these count.
    rule_id : int, optional
        A rule that counts although the laboratory does not know it.
    n_forms : int
        How many forms of each class are looked at; with more the numbers are lower bounds.
    """
    values = sorted(set(fingerprints))
    if not values:
        return {}
    name = connection.ops.quote_name
    marks = ", ".join(["%s"] * len(values))
    of_visible, ids = _visible(visible)
    statement = f"""{_pairs(f"r.fingerprint IN ({marks})")}
        SELECT p.signature, p.fingerprint, COUNT(DISTINCT p.run_id),
               COUNT(DISTINCT run.experiment_id)
        FROM pair p
        JOIN {name(Run._meta.db_table)} run ON run.id = p.run_id
        WHERE {of_visible}
        GROUP BY p.signature, p.fingerprint
    """  # noqa: S608
    with connection.cursor() as cursor:
        # A fingerprint may belong to rules of two signatures.
        cursor.execute(statement, [*values, rule_id, n_forms, 2 * n_forms * len(values), *ids])
        return {(row[0], row[1]): (row[2], row[3]) for row in cursor.fetchall()}


def _visible(visible: ExperimentQuerySet) -> tuple[str, tuple[object, ...]]:
    """Return the condition that a run is one of visible experiments, and its parameters."""
    if not visible.query.where:
        return "1 = 1", ()
    statement, values = visible.order_by().values("pk").query.sql_with_params()
    return f"run.experiment_id IN ({statement})", values


def first_in_runs(
    rule: Rule, *, offset: int, limit: int, visible: ExperimentQuerySet
) -> tuple[list[Discovery], bool]:
    """Return the first individual of each run with a rule of this one's class, and if more follow.

    Only runs of visible experiments count.

    The latest runs come first.
    """
    name = connection.ops.quote_name
    individual = name(Individual._meta.db_table)
    of_visible, ids = _visible(visible)
    statement = f"""{_pairs("r.fingerprint = %s AND r.signature = %s")},
        first (run_id, number) AS (
            SELECT p.run_id, MIN((SELECT MIN(i."index") FROM {individual} i
                                  WHERE i.rule_id = p.rule_id AND i.run_id = p.run_id))
            FROM pair p
            JOIN {name(Run._meta.db_table)} run ON run.id = p.run_id
            WHERE {of_visible}
            GROUP BY p.run_id ORDER BY p.run_id DESC LIMIT %s OFFSET %s
        )
        SELECT e.id, e.name, run."index", i."index", i.birth_generation, i.fitness
        FROM first
        JOIN {individual} i ON i.run_id = first.run_id AND i."index" = first.number
        JOIN {name(Run._meta.db_table)} run ON run.id = first.run_id
        JOIN {name(Experiment._meta.db_table)} e ON e.id = run.experiment_id
        ORDER BY run.id DESC
    """  # noqa: S608
    with connection.cursor() as cursor:
        n_forms = N_FORMS_OF_ONE
        cursor.execute(
            statement,
            [
                rule.fingerprint, rule.signature, rule.pk, n_forms, n_forms,
                *ids, limit + 1, offset,
            ],
        )  # fmt: skip
        rows = cursor.fetchall()
    found = [
        Discovery(experiment_id, title, run_index + 1, index, generation, fitness)
        for experiment_id, title, run_index, index, generation, fitness in rows[:limit]
    ]
    return found, len(rows) > limit
