"""Experiments from files of strangers: read, checked and written, all of it or nothing."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, TYPE_CHECKING, TypeVar

from django.db import IntegrityError, transaction

from evolution.cgp.genome_check import genome_problem
from evolution.cgp.parameters import EvolutionParameters
from evolution.enums import Action, EvaluationState, ExperimentState, Origin, Outcome, StopReason
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
from evolution.models.experiment import MAX_SEED
from evolution.models.rule import signature_text
from evolution.services import control, evaluations
from nest_build.rules import RuleSyntaxError
from simulations.learning_tasks import Reason, UnknownLearningTask, get_learning_task
from simulations.parameters import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.contrib.auth.models import User

    from nest_build.rules import PlasticityRule
    from simulations.learning_tasks import LearningTask
    from simulations.parameters import TaskParameters

_NAMESPACE = uuid.UUID("b6ad1b8e-0f3d-4b6b-9a5e-3f1d0c7a2e41")
_BATCH = 1000

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
        self._task, self._task_parameters, self._evolution_parameters = _configuration(source)
        self._n_other_keys = 0
        self._has_genomes: bool | None = None

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
        individuals = _ByRun(layout.INDIVIDUALS, self._rows(layout.INDIVIDUALS, IndividualRow))
        generations = _ByRun(layout.GENERATIONS, self._rows(layout.GENERATIONS, GenerationRow))
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
                    score=_finite(aggregate(row.trials)) if row.trials and not row.reason else None,
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
            rule_id = _rule_id(where, row.rule, rules)
            if row.reason and row.reason not in list(Reason):
                raise broken(*where, f"there is no reason {row.reason!r}")
            # Two rules of the file may be one here: the first one's values stay.
            if rule_id not in seen:
                seen.add(rule_id)
                yield rule_id, row

    def _read_runs(self) -> list[RunRow]:
        found = self._source.configuration
        rows = list(self._rows(layout.RUNS, RunRow))
        if len(rows) != found.n_runs:
            raise BrokenExperimentFile(
                f"{layout.RUNS} has {len(rows)} lines instead of {found.n_runs}."
            )
        for number, row in enumerate(rows, start=1):
            where = (layout.RUNS, number)
            if row.run != number:
                raise broken(*where, f"run {number} is expected, not {row.run}")
            if row.seed != found.seed + number - 1:
                raise broken(*where, f"run {number} must have the seed {found.seed + number - 1}")
            if row.stop_reason and row.stop_reason not in StopReason.values:
                raise broken(*where, f"there is no reason {row.stop_reason!r} to stop")
            if row.state not in ExperimentState.values:
                raise broken(*where, f"there is no state {row.state!r}")
            if (row.champion is None) != (row.n_generations < 0):
                raise broken(*where, "there is a champion from generation 0 on, and only then")
            if row.champion is None and row.champion_fitness != layout.MINUS_INFINITY:
                raise broken(*where, "there is a fitness without a champion")
            if row.improved_at_generation > max(0, row.n_generations):
                raise broken(*where, "the champion improved in a generation that is not there")
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
        individuals: _ByRun[IndividualRow],
        rules: list[int],
        evaluation_of: dict[int, int],
    ) -> _Born:
        """Return the individuals of a run."""
        born = _Born()
        ids = born.ids
        last = -1
        for batch in _batches(individuals.of(row.run)):
            new = []
            for line, item in batch:
                where = (layout.INDIVIDUALS, line)
                if item.individual <= last:
                    raise broken(*where, f"individual {item.individual} comes after {last}")
                last = item.individual
                self._check_individual(where, item, row)
                if item.parent is not None and item.parent not in ids:
                    raise broken(*where, f"there is no parent {item.parent} before it")
                rule_id = None if item.rule is None else _rule_id(where, item.rule, rules)
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

    def _check_individual(self, where: tuple[str, int], item: IndividualRow, row: RunRow) -> None:
        if item.generation > row.n_generations:
            raise broken(*where, f"run {row.run} has {row.n_generations} generations only")
        if item.origin not in Origin.values:
            raise broken(*where, f"there is no origin {item.origin!r}")
        if item.outcome not in Outcome.values:
            raise broken(*where, f"there is no outcome {item.outcome!r}")
        if item.rule is None and item.fitness != layout.MINUS_INFINITY:
            raise broken(*where, "there is a fitness without a rule")
        signature = self._task.signature
        has_genome = item.genomes != [[]]
        if self._has_genomes is None:
            self._has_genomes = has_genome
        if has_genome != self._has_genomes:
            raise broken(*where, "all individuals have genomes, or none")
        if not has_genome:
            # Results of the literature: genomes were not published.
            return
        if len(item.genomes) != len(signature.branches):
            raise broken(*where, f"there are {len(item.genomes)} genomes")
        for genome in item.genomes:
            problem = genome_problem(genome, self._evolution_parameters, len(signature.input_names))
            if problem:
                raise broken(*where, f"the genome {problem}")
        longest = len(item.genomes[0])
        if any(gene >= longest for gene in chain.from_iterable(item.mutated_genes)):
            raise broken(*where, "a mutated gene is not in the genome")

    def _write_generations(
        self, run: Run, row: RunRow, generations: _ByRun[GenerationRow], born: _Born
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


@dataclass
class _Born:
    """The individuals of a run: their ids by number, and the numbers of those without a rule."""

    ids: dict[int, int] = field(default_factory=dict)
    without_rule: set[int] = field(default_factory=set)

    def champion(self, where: tuple[str, int], number: int, fitness: float | str) -> int:
        """Return the id of a champion, which has a rule if it has a fitness."""
        if number not in self.ids:
            raise broken(*where, f"there is no individual {number}")
        if number in self.without_rule and fitness != layout.MINUS_INFINITY:
            raise broken(*where, f"individual {number} has no rule and so no fitness")
        return self.ids[number]


class _ByRun:
    """The rows of a member run by run, with their lines."""

    def __init__(self, name: str, rows: Iterable[_Row]) -> None:
        self._name = name
        self._rows = enumerate(rows, start=1)
        self._next = next(self._rows, None)

    def of(self, run: int) -> Iterator[tuple[int, _Row]]:
        while self._next is not None and self._next[1].run == run:
            yield self._next
            self._next = next(self._rows, None)

    def check_end(self) -> None:
        if self._next is not None:
            line, row = self._next
            raise broken(self._name, line, f"run {row.run} is not expected here")


#: States in which an imported run can be.
_RUN_STATES = (ExperimentState.FINISHED, ExperimentState.STOPPED, ExperimentState.FAILED)


def _configuration(
    source: ExperimentFile,
) -> tuple[LearningTask, TaskParameters, EvolutionParameters]:
    """Return learning task and parameters as typed objects.

    Raises
    ------
    BrokenExperimentFile
        If they are not known here, or do not fit.
    """
    found, name = source.configuration, layout.CONFIGURATION
    try:
        task = get_learning_task(found.learning_task)
    except UnknownLearningTask as error:
        raise BrokenExperimentFile(f"{name}: {error}") from None
    if found.signature != signature_text(task.signature):
        raise BrokenExperimentFile(
            f"{name}: rules of the learning task {task.name} are {signature_text(task.signature)} "
            f"here, not {found.signature}."
        )
    if found.seed > MAX_SEED:
        raise BrokenExperimentFile(f"{name}: the seed must be from 0 to {MAX_SEED}.")
    try:
        task_parameters = task.parameters_type.from_mapping(found.task_parameters)
        evolution_parameters = EvolutionParameters.from_mapping(found.evolution_parameters)
        evolution_parameters.check_against(task.signature, task_parameters.n_trials)
    except ParameterError as error:
        raise BrokenExperimentFile(f"{name}: {error}") from None
    return task, task_parameters, evolution_parameters


def _rule_id(where: tuple[str, int], number: int, rules: list[int]) -> int:
    if number >= len(rules):
        raise broken(*where, f"there is no rule {number}")
    return rules[number]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _batches(items: Iterable) -> Iterator[list]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
