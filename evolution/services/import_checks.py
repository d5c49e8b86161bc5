"""What the rows of an experiment file must satisfy together, besides each one's own form."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Generic, TypeVar

from evolution.cgp.genome_check import genome_problem
from evolution.cgp.parameters import EvolutionParameters
from evolution.enums import ExperimentState, Origin, Outcome, StopReason
from evolution.experiment_file import (
    BrokenExperimentFile,
    GenerationRow,
    IndividualRow,
    layout,
)
from evolution.experiment_file.reader import broken
from evolution.models.experiment import MAX_SEED
from evolution.models.rule import signature_text
from simulations.learning_tasks import UnknownLearningTask, get_learning_task
from simulations.parameters import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from evolution.experiment_file import Configuration, ExperimentFile, RunRow
    from nest_build.rules import RuleSignature
    from simulations.learning_tasks import LearningTask
    from simulations.parameters import TaskParameters

_Row = TypeVar("_Row", GenerationRow, IndividualRow)


def configuration_of(
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


def check_runs(rows: Sequence[RunRow], found: Configuration) -> None:
    """Check the runs of an experiment.

    Raises
    ------
    BrokenExperimentFile
        With the line that does not fit.
    """
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


def rule_id_of(where: tuple[str, int], number: int, rules: list[int]) -> int:
    """Return the id of the record of a rule of the file."""
    if number >= len(rules):
        raise broken(*where, f"there is no rule {number}")
    return rules[number]


class IndividualCheck:
    """Checks the individuals of an experiment one after the other.

    Parameters
    ----------
    signature : RuleSignature
        Of the learning task's rules.
    parameters : EvolutionParameters
        Which genomes have to fit.
    """

    def __init__(self, signature: RuleSignature, parameters: EvolutionParameters) -> None:
        self._signature, self._parameters = signature, parameters
        self._has_genomes: bool | None = None

    def check(self, where: tuple[str, int], item: IndividualRow, row: RunRow) -> None:
        """Check one, which is at a line of the file, of a run."""
        if item.generation > row.n_generations:
            raise broken(*where, f"run {row.run} has {row.n_generations} generations only")
        if item.origin not in Origin.values:
            raise broken(*where, f"there is no origin {item.origin!r}")
        if item.outcome not in Outcome.values:
            raise broken(*where, f"there is no outcome {item.outcome!r}")
        if item.rule is None and item.fitness != layout.MINUS_INFINITY:
            raise broken(*where, "there is a fitness without a rule")
        has_genome = item.genomes != [[]]
        if self._has_genomes is None:
            self._has_genomes = has_genome
        if has_genome != self._has_genomes:
            raise broken(*where, "all individuals have genomes, or none")
        if not has_genome:
            # Results of the literature: genomes were not published.
            return
        if len(item.genomes) != len(self._signature.branches):
            raise broken(*where, f"there are {len(item.genomes)} genomes")
        for genome in item.genomes:
            problem = genome_problem(genome, self._parameters, len(self._signature.input_names))
            if problem:
                raise broken(*where, f"the genome {problem}")
        longest = len(item.genomes[0])
        if any(gene >= longest for gene in chain.from_iterable(item.mutated_genes)):
            raise broken(*where, "a mutated gene is not in the genome")


@dataclass
class Born:
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


class RowsByRun(Generic[_Row]):
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
