"""The tables of a rule's page as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution import catalogue, discoveries
from evolution.views import tables
from evolution.views.tables import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evolution.discoveries import Discovery
    from evolution.models import Rule
    from evolution.models.experiment import ExperimentQuerySet

_ROWS_AT_ONCE = 1000
_EVERYTHING = tables.MAX_ROWS + 1
_FOUND = (
    Column("experiment number", "experiment_id"),
    Column("experiment", "experiment_name"),
    Column("run", "run_number"),
    Column("generation", "generation"),
    Column("individual", "index"),
    tables.fitness("fitness"),
)
_FITNESS = (
    Column("learning task", "context.learning_task_name"),
    Column("seed", "context.seed"),
    Column("trials done", "n_trials_done"),
    Column("fitness", "score"),
    Column("trials", "trials"),
    Column("reason", "reason"),
    Column("engine", "context.engine_version"),
)
_MEMBERS = (
    Column("rule number", "pk"),
    tables.rule(lambda rule: rule),
    Column("complexity", "complexity"),
)


def rule_tables(rule: Rule, visible: ExperimentQuerySet) -> dict[str, Callable[[], Table]]:
    """Return the tables of the page of a rule, with the rows of all pages."""
    return {
        "found": lambda: Table(_FOUND, _discoveries(rule, visible)),
        "fitness": lambda: Table(_FITNESS, catalogue.evaluations_of(rule, visible, _EVERYTHING)),
        "forms": lambda: Table(_MEMBERS, catalogue.forms(rule).iterator()),
        "family": lambda: Table(_MEMBERS, catalogue.relatives(rule, _EVERYTHING)),
    }


def _discoveries(rule: Rule, visible: ExperimentQuerySet) -> Iterator[Discovery]:
    for offset in range(0, _EVERYTHING, _ROWS_AT_ONCE):
        found, is_more = discoveries.first_in_runs(
            rule, offset=offset, limit=_ROWS_AT_ONCE, visible=visible
        )
        yield from found
        if not is_more:
            return
