"""Experiments from files of strangers: read, checked and written, all of it or nothing."""

from __future__ import annotations

import math
import uuid
from typing import IO, TYPE_CHECKING, TypeVar

from django.db import IntegrityError, transaction

from evolution.enums import Action, EvaluationState, ExperimentState
from evolution.experiment_file import (
    BrokenExperimentFile,
    EvaluationRow,
    ExperimentFile,
    GenerationRow,
    IndividualRow,
    Limits,
    RuleRow,
    RunRow,
    fitness_from_json,
    layout,
    open_experiment_file,
)
from evolution.experiment_file.reader import broken
from evolution.models import Evaluation, Experiment, Generation, Individual, Rule, Run
from evolution.services import control, evaluations
from evolution.services.history import finite
from evolution.services.import_checks import (
    Born,
    IndividualCheck,
    RowsByRun,
    check_runs,
    configuration_of,
    rule_id_of,
)
from nest_build.rules import RuleSyntaxError
from simulations.learning_tasks import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.contrib.auth.models import User

    from nest_build.rules import PlasticityRule

_NAMESPACE = uuid.UUID("b6ad1b8e-0f3d-4b6b-9a5e-3f1d0c7a2e41")
_BATCH = 1000
#: States in which an imported run can be.
_RUN_STATES = (ExperimentState.FINISHED, ExperimentState.STOPPED, ExperimentState.FAILED)

_Row = TypeVar("_Row", RunRow, GenerationRow, IndividualRow)


def import_experiment(
    file: IO[bytes],
    *,
    owner: User | None,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Experiment, bool]:
    """Write the experiment of a file as one that nobody changes.

    The same content a second time changes nothing.

    Parameters
    ----------
    file : binary file
        Open for reading; it can be rewound.
    owner : user or None
        Who the imported experiment belongs to.
    progress : callable, optional
        Called with (rows done, rows in all) now and then.

    Returns
    -------
    experiment : Experiment
    is_new : bool
        False if it was there.

    Raises
    ------
    BrokenExperimentFile
        With the member and line that is not as it should be; nothing is imported then.
    """
    with open_experiment_file(file, limits) as source:
        token = uuid.uuid5(_NAMESPACE, source.digest)
        present = Experiment.objects.filter(submission_token=token).first()
        if present is not None:
            return present, False
        reading = _Import(source, token, owner, progress)
        rules = reading.read_rules()
        try:
            with transaction.atomic():
                return reading.write(rules), True
        except IntegrityError:
            # Somebody has imported the same file at the same time.
            present = Experiment.objects.filter(submission_token=token).first()
            if present is None:
                raise
            return present, False


class _Import:
    """One import: its parts check what they read and write it in the caller's transaction."""

    def __init__(
        self,
        source: ExperimentFile,
        token: uuid.UUID,
        owner: User | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._source, self._token, self._owner = source, token, owner
        self._progress = progress
        members = source.manifest.members
        self._n_rows = sum(members[name].rows for name in layout.DATA)
        self._n_done = 0
        self._task, self._task_parameters, self._evolution_parameters = configuration_of(source)
        self._n_other_keys = 0
        self._individuals = IndividualCheck(self._task.signature, self._evolution_parameters)

    # --- rules ---

    def read_rules(self) -> list[int]:
        """Return the ids of the records of the rules, in the file's order.

        Before the transaction: parsing takes most of the time, and rules are shared by all. One
        that nobody needs in the end does no harm.
        """
        ids: list[int] = []
        signature = self._task.signature
        for batch in _batches(self._rule_rows()):
            known = evaluations.get_or_create_rules(
                signature, {rule.key: rule for rule in batch}.values()
            )
            ids += [known[rule.key] for rule in batch]
        return ids

    def _rule_rows(self) -> Iterator[PlasticityRule]:
        for number, row in enumerate(self._rows(layout.RULES, RuleRow)):
            where = (layout.RULES, number + 1)
            if row.rule != number:
                raise broken(*where, f"rule {number} is expected, not {row.rule}")
            try:
                rule = evaluations.canonical_rule(self._task.signature, tuple(row.expressions))
            except RuleSyntaxError as error:
                raise broken(*where, error.message.rstrip(".")) from None
            self._n_other_keys += rule.key != row.key
            yield rule

    # --- everything else ---

    def write(self, rules: list[int]) -> Experiment:
        """Write the experiment with its history."""
        experiment = self._create_experiment()
        evaluation_of = self._write_evaluations(experiment, rules)
        runs = self._read_runs()
        individuals = RowsByRun(layout.INDIVIDUALS, self._rows(layout.INDIVIDUALS, IndividualRow))
        generations = RowsByRun(layout.GENERATIONS, self._rows(layout.GENERATIONS, GenerationRow))
        for row in runs:
            run = self._create_run(experiment, row)
            born = self._write_individuals(run, row, individuals, rules, evaluation_of)
            self._write_generations(run, row, generations, born)
            if row.champion is not None:
                where = (layout.RUNS, row.run)
                run.champion_id = born.champion(where, row.champion, row.champion_fitness)
                run.save(update_fields=["champion"])
        individuals.check_end()
        generations.check_end()
        control.announce(experiment, Action.IMPORTED, by=self._owner)
        return experiment

    def _create_experiment(self) -> Experiment:
        found, manifest = self._source.configuration, self._source.manifest
        other_keys = (
            {"rules of other form": f"{self._n_other_keys}: another version simplified them"}
            if self._n_other_keys
            else {}
        )
        experiment = Experiment.objects.create(
            name=found.name,
            owner=self._owner,
            learning_task_name=self._task.name,
            preset=found.preset if found.preset in self._task.presets else "",
            task_parameters=self._task_parameters.to_mapping(),
            evolution_parameters=self._evolution_parameters.to_mapping(),
            seed=found.seed,
            n_runs=found.n_runs,
            state=ExperimentState.IMPORTED,
            submission_token=self._token,
            tags=[tag for tag in found.tags if tag and not any(map(str.isspace, tag))],
            notes=found.notes,
            provenance={
                # A template that asks for `provenance.items` would get this one.
                **{name: text for name, text in found.provenance.items() if name != "items"},
                "exported": f"{manifest.created_at:%Y-%m-%d %H:%M} UTC"
                + (f", experiment of {found.owner}" if found.owner else ""),
                "state when exported": found.state,
                "engine": found.engine_version,
                "content": self._source.digest,
                **other_keys,
            },
            published=found.published,
            has_own_evaluations=True,
            started_at=found.started_at,
            finished_at=found.finished_at or found.started_at or manifest.created_at,
            rested_s=found.rested_s,
        )
        experiment.context = evaluations.get_or_create_context(
            self._task,
            self._task_parameters,
            found.seed,
            only_for=experiment.pk,
            engine=found.engine_version,
        )
        experiment.save(update_fields=["context"])
        return experiment

    def _write_evaluations(self, experiment: Experiment, rules: list[int]) -> dict[int, int]:
        """Return the ids of evaluations by the ids of their rules."""
        ids: dict[int, int] = {}
        aggregate = self._task.aggregate
        for batch in _batches(self._evaluation_rows(rules)):
            complexity = dict(
                Rule.objects.filter(pk__in=[rule_id for rule_id, _ in batch]).values_list(
                    "pk", "complexity"
                )
            )
            new = [
                Evaluation(
                    context=experiment.context,
                    rule_id=rule_id,
                    trials=row.trials,
                    n_trials_done=len(row.trials),
                    worst=min(row.trials, default=None),
                    score=finite(aggregate(row.trials)) if row.trials and not row.reason else None,
                    complexity=complexity[rule_id],
                    state=EvaluationState.DONE,
                    reason=row.reason,
                    detail=row.detail,
                    seconds=row.simulated_s,
                )
                for rule_id, row in batch
            ]
            Evaluation.objects.bulk_create(new)
            ids.update((evaluation.rule_id, evaluation.pk) for evaluation in new)
        return ids

    def _evaluation_rows(self, rules: list[int]) -> Iterator[tuple[int, EvaluationRow]]:
        seen: set[int] = set()
        for line, row in enumerate(self._rows(layout.EVALUATIONS, EvaluationRow), start=1):
            where = (layout.EVALUATIONS, line)
            rule_id = rule_id_of(where, row.rule, rules)
            if row.reason and row.reason not in list(Reason):
                raise broken(*where, f"there is no reason {row.reason!r}")
            # Two rules of the file may be one here: the first one's values stay.
            if rule_id not in seen:
                seen.add(rule_id)
                yield rule_id, row

    def _read_runs(self) -> list[RunRow]:
        rows = list(self._rows(layout.RUNS, RunRow))
        check_runs(rows, self._source.configuration)
        return rows

    def _create_run(self, experiment: Experiment, row: RunRow) -> Run:
        # What was going on does not go on here.
        is_final = ExperimentState(row.state).is_final
        state = row.state if is_final and row.state in _RUN_STATES else ExperimentState.STOPPED
        return Run.objects.create(
            experiment=experiment,
            index=row.run - 1,
            seed=row.seed,
            state=state,
            stop_reason=row.stop_reason,
            n_generations_done=max(0, row.n_generations),
            champion_fitness=fitness_from_json(row.champion_fitness),
            improved_at_generation=row.improved_at_generation,
            n_evaluations=row.n_evaluations,
            n_cached=row.n_cached,
            n_pruned=row.n_pruned,
            simulated_s=row.simulated_s,
            saved_s=row.saved_s,
            paused_s=row.paused_s,
            started_at=row.started_at,
            finished_at=row.finished_at,
            last_progress_at=row.finished_at or row.started_at,
        )

    def _write_individuals(
        self,
        run: Run,
        row: RunRow,
        individuals: RowsByRun[IndividualRow],
        rules: list[int],
        evaluation_of: dict[int, int],
    ) -> Born:
        """Return the individuals of a run."""
        born = Born()
        ids = born.ids
        last = -1
        for batch in _batches(individuals.of(row.run)):
            new = []
            for line, item in batch:
                where = (layout.INDIVIDUALS, line)
                if item.individual <= last:
                    raise broken(*where, f"individual {item.individual} comes after {last}")
                last = item.individual
                self._individuals.check(where, item, row)
                if item.parent is not None and item.parent not in ids:
                    raise broken(*where, f"there is no parent {item.parent} before it")
                rule_id = None if item.rule is None else rule_id_of(where, item.rule, rules)
                if rule_id is None:
                    born.without_rule.add(item.individual)
                ids[item.individual] = 0
                new.append(
                    Individual(
                        run=run,
                        index=item.individual,
                        parent_index=item.parent,
                        birth_generation=item.generation,
                        origin=item.origin,
                        genome=item.genomes,
                        constants=item.constants,
                        mutated_genes=item.mutated_genes,
                        rule_id=rule_id,
                        evaluation_id=evaluation_of.get(rule_id),
                        fitness=fitness_from_json(item.fitness),
                        outcome=item.outcome,
                        is_neutral=item.is_neutral,
                        is_cached=item.is_cached,
                    )
                )
            Individual.objects.bulk_create(new)
            ids.update((individual.index, individual.pk) for individual in new)
        return born

    def _write_generations(
        self, run: Run, row: RunRow, generations: RowsByRun[GenerationRow], born: Born
    ) -> None:
        expected = 0
        before = -math.inf
        for batch in _batches(generations.of(row.run)):
            new = []
            for line, item in batch:
                where = (layout.GENERATIONS, line)
                if item.generation != expected:
                    raise broken(
                        *where, f"generation {expected} is expected, not {item.generation}"
                    )
                expected += 1
                for number in item.parents:
                    if number not in born.ids:
                        raise broken(*where, f"there is no individual {number}")
                fitness = fitness_from_json(item.champion_fitness)
                known = -math.inf if fitness is None else fitness
                new.append(
                    Generation(
                        run=run,
                        index=item.generation,
                        champion_id=born.champion(where, item.champion, item.champion_fitness),
                        champion_fitness=fitness,
                        # Whatever the file says: curves are made of what is fitter than before.
                        is_improvement=item.is_improvement and known > before,
                        parents=[item.parents],
                        n_evaluations=item.n_evaluations,
                        n_cached=item.n_cached,
                        n_pruned=item.n_pruned,
                        created_at=item.created_at,
                    )
                )
                before = known
            Generation.objects.bulk_create(new)
        if expected != row.n_generations + 1:
            raise BrokenExperimentFile(
                f"{layout.GENERATIONS}: run {row.run} has {expected} generations instead of "
                f"{row.n_generations + 1}, counted from 0."
            )

    def _rows(self, name: str, row_type: type[_Row]) -> Iterator[_Row]:
        for row in self._source.rows(name, row_type):
            self._n_done += 1
            if self._progress is not None and self._n_done % _BATCH == 0:
                self._progress(self._n_done, self._n_rows)
            yield row


def _batches(items: Iterable) -> Iterator[list]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
