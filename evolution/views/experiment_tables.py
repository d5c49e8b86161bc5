"""The tables of an experiment's page as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evolution import selectors, statistics
from evolution.views import presentation, tables
from evolution.views.tables import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evolution.models import Experiment

_ROWS_AT_ONCE = 5000
_EVERYTHING = tables.MAX_ROWS + 1


def experiment_tables(
    experiment: Experiment, *, with_details: bool
) -> dict[str, Callable[[], Table]]:
    """Return the tables of an experiment's page with all of their rows.

    Parameters
    ----------
    with_details : bool
        Whether failures come with what the simulator said: pages show it to staff only.
    """
    own = _Tables(experiment)
    return {
        "generations": own.generations,
        "improvements": own.improvements,
        "runs": own.runs,
        "failures": lambda: own.failures(with_details=with_details),
        "figures": own.figures,
        "activity": own.activity,
        "parameters": own.parameters,
    }


class _Tables:
    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._label = experiment.learning_task.fitness_label

    def generations(self) -> Table:
        branches = self._experiment.learning_task.signature.branches
        columns = [
            Column("run", "run.number"),
            Column("seed", "run.seed"),
            Column("generation", "generation"),
            tables.fitness("fitness", self._label, "champion_fitness"),
            Column("is_improvement", "is_improvement"),
            Column("n_evaluations", "n_evaluations"),
            Column("n_cached", "n_cached"),
            *(
                Column(f"rule_{name}", lambda row, place=place: row["texts"][place], is_rule=True)
                for place, name in enumerate(branches)
            ),
        ]
        return Table(columns, self._generations(len(branches)))

    def _generations(self, n_branches: int) -> Iterator[dict[str, Any]]:
        runs = presentation.run_rows(selectors.runs_of(self._experiment))
        cursors: dict[int, int] = {}
        texts: dict[int, list[str]] = {}
        while rows := selectors.generation_messages(
            experiment_id=self._experiment.pk, cursors=cursors, limit=_ROWS_AT_ONCE
        ):
            for row in rows:
                cursors[row["run"]] = row["generation"]
                if "rule" in row:
                    texts[row["run"]] = row["rule"]["text"]
                known = texts.get(row["run"], [""] * n_branches)
                yield {**row, "run": runs[row["run"]], "texts": known}

    def improvements(self) -> Table:
        runs = presentation.run_rows(selectors.runs_of(self._experiment))
        columns = [
            Column("generation", "generation"),
            Column("run", "run.number"),
            tables.rule(),
            tables.fitness("fitness", self._label),
        ]
        rows = presentation.improvement_rows(self._experiment, runs, limit=_EVERYTHING)
        return Table(columns, rows)

    def runs(self) -> Table:
        columns = [
            Column("run", "number"),
            Column("seed", "seed"),
            Column("state", "state"),
            Column("reason", "reason"),
            Column("detail", "detail"),
            Column("generation", lambda row: None if row.generation < 0 else row.generation),
            tables.fitness("fitness", self._label),
            Column("improved at generation", "improved_at"),
        ]
        runs = presentation.run_rows(selectors.runs_of(self._experiment))
        return Table(columns, runs.values())

    def failures(self, *, with_details: bool) -> Table:
        runs = selectors.runs_of(self._experiment)
        columns = [
            tables.rule(),
            Column("reason", "reason"),
            Column("run", "run"),
            Column("generation", "generation"),
            Column("when", "when"),
            *([Column("detail", "detail")] if with_details else []),
        ]
        found = presentation.records(self._experiment, runs, [], limit=_EVERYTHING)
        return Table(columns, found["failures"])

    def figures(self) -> Table:
        columns = [Column("figure", "name"), Column("value", "value"), Column("unit", "unit")]
        runs = selectors.runs_of(self._experiment)
        found = statistics.evaluation_figures(runs)
        figures = [
            ("evaluations asked for", found.n_asked, ""),
            ("evaluations computed", found.n_computed, ""),
            ("evaluations taken from the cache", found.n_cached, ""),
            ("evaluations pruned", found.n_pruned, ""),
            ("CPU time used", found.computed_s, "s"),
            ("CPU time saved", found.saved_s, "s"),
        ]
        known = presentation.known_rules_of(self._experiment, None)
        log = selectors.log_of(self._experiment)
        success = presentation.figures(self._experiment, runs, known, log)["success"]
        if success:
            figures += [
                ("target fitness", success.target.fitness, tables.unit(self._label)),
                ("runs at the target", success.n_reached, ""),
                ("runs", success.n_runs, ""),
                ("median generation of the target", success.median_generation, ""),
                ("median time to the target", success.median_s, "s"),
            ]
        names = ("name", "value", "unit")
        return Table(columns, [dict(zip(names, row, strict=True)) for row in figures])

    def activity(self) -> Table:
        columns = [
            Column("when", "created_at"),
            Column("who", lambda entry: entry.user.get_username() if entry.user else None),
            Column("action", lambda entry: entry.get_action_display()),
            Column("detail", "detail"),
        ]
        return Table(columns, selectors.log_of(self._experiment))

    def parameters(self) -> Table:
        columns = [
            Column("group", "group"),
            Column("parameter", "label"),
            Column("value", "value"),
            Column("unit", "unit"),
        ]
        rows = [
            {**row, "group": group["heading"]}
            for group in presentation.parameter_groups(self._experiment)
            for row in group["rows"]
        ]
        return Table(columns, rows)
