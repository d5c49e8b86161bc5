"""Generations: completing one, selecting, breeding and asking for the next, in one transaction."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from evolution import events
from evolution.cgp.engine import Candidate, Engine, Selection
from evolution.cgp.phenotype import expression_text
from evolution.enums import EvaluationState, ExperimentState, StopReason
from evolution.models import Evaluation, EvaluationContext, Generation, Individual, Rule, Run
from evolution.selectors import rule_message
from evolution.services import endings, evaluations
from nest_build.rules import PlasticityRule, RuleSyntaxError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evolution.cgp.parameters import EvolutionParameters
    from evolution.serializers import GenerationMessage
    from evolution.services.evaluations import Claim
    from simulations.learning_tasks import LearningTask
    from simulations.parameters import TaskParameters


# Equivalent forms of one rule differ in the last digits of their fitness, relatively by less.
_EQUIVALENT_FORMS = 1e-9


@dataclass(frozen=True)
class RunSetup:
    """What stays the same over the generations of a run."""

    run_id: int
    experiment_id: int
    seed: int
    trial_seed: int
    learning_task: LearningTask
    task_parameters: TaskParameters
    evolution_parameters: EvolutionParameters
    context: EvaluationContext
    has_begun: bool
    #: Fitness of the best baseline rule in the same trials, where a run stops there.
    baseline_fitness: float | None = None

    @property
    def n_trials(self) -> int:
        """Number of trials that a fitness value is made of."""
        return self.task_parameters.n_trials


@dataclass(frozen=True)
class Step:
    """What an attempt to advance a run led to.

    Attributes
    ----------
    has_advanced : bool
        False while evaluations of the pending generation are missing.
    has_ended : bool
        Nothing is left to do for this run.
    claims : list of Claim
        Evaluations of the next generation that the worker holds now.
    n_unclaimed : int
        Evaluations of the next generation that nobody holds yet.
    """

    has_advanced: bool = False
    has_ended: bool = False
    claims: list[Claim] = field(default_factory=list)
    n_unclaimed: int = 0


def load_setup(run_id: int) -> RunSetup | None:
    """Return the setup of a run, None if there is no such run or it is not running."""
    run = (
        Run.objects.running()
        .select_related("experiment")
        .without_engine_state()
        .filter(pk=run_id)
        .first()
    )
    if run is None:
        return None
    experiment = run.experiment
    task_parameters = experiment.get_task_parameters()
    return RunSetup(
        run_id=run.pk,
        experiment_id=experiment.pk,
        seed=run.seed,
        trial_seed=experiment.seed,
        learning_task=experiment.learning_task,
        task_parameters=task_parameters,
        evolution_parameters=experiment.get_evolution_parameters(),
        context=evaluations.get_or_create_context(
            experiment.learning_task, task_parameters, experiment.seed
        ),
        has_begun=run.pending_generation is not None,
    )


def advance(setup: RunSetup, *, worker: str, batch_size: Callable[[int], int]) -> Step:
    """Complete the pending generation if all its evaluations are there, and breed the next one.

    Everything a generation changes is written in one transaction while the run's row is locked,
    so that a run is never advanced twice and never half.

    Parameters
    ----------
    setup : RunSetup
    worker : str
        Who claims evaluations of the next generation.
    batch_size : callable
        Given the number of evaluations to be made, how many to claim.
    """
    with transaction.atomic():
        run = (
            Run.objects.select_for_update(of=("self",))
            .select_related("champion__rule")
            .filter(pk=setup.run_id, state=ExperimentState.RUNNING)
            .first()
        )
        if run is None:
            return Step(has_ended=True)
        if run.engine_state is None:
            signature = setup.learning_task.signature
            engine = Engine.start(
                setup.evolution_parameters,
                n_inputs=len(signature.inputs),
                n_branches=len(signature.branches),
                seed=setup.seed,
            )
        else:
            individuals = list(
                Individual.objects.filter(run=run, birth_generation=run.pending_generation)
                .select_related("evaluation", "rule")
                .defer("genome", "evaluation__detail")
            )
            unsettled = [i for i in individuals if not _is_settled(i, setup.n_trials)]
            if unsettled:
                _ask_in_this_context(setup, unsettled)
                return Step()
            engine = Engine.from_state(setup.evolution_parameters, run.engine_state)
            stop_reason = _complete(setup, run, engine, individuals)
            if stop_reason:
                run.engine_state = engine.to_state()
                endings.end_run(run, ExperimentState.FINISHED, stop_reason)
                return Step(has_advanced=True, has_ended=True)
        step = _breed(setup, run, engine, worker=worker, batch_size=batch_size)
        run.engine_state = engine.to_state()
        run.pending_generation = engine.generation
        run.last_progress_at = timezone.now()
        run.save(
            update_fields=[
                "engine_state",
                "pending_generation",
                "n_generations_done",
                "champion",
                "champion_fitness",
                "last_progress_at",
            ]
        )
        return step


def _is_settled(individual: Individual, n_trials: int) -> bool:
    return individual.evaluation is None or individual.evaluation.is_settled(n_trials)


def _ask_in_this_context(setup: RunSetup, individuals: list[Individual]) -> None:
    """Repeat wishes that were made before the software was changed; nobody grants them now."""
    foreign = [i for i in individuals if i.evaluation.context_id != setup.context.pk]
    if foreign:
        by_rule, _ = evaluations.get_or_create_evaluations(
            setup.context, [individual.rule for individual in foreign], setup.n_trials
        )
        for individual in foreign:
            individual.evaluation = by_rule[individual.rule_id]
        Individual.objects.bulk_update(foreign, ["evaluation"])


def _complete(
    setup: RunSetup, run: Run, engine: Engine, individuals: list[Individual]
) -> StopReason | None:
    """Select, and write the generation; return why the run ends now, if it does."""
    aggregate = setup.learning_task.aggregate
    fitness = {
        individual.index: -math.inf
        if individual.evaluation is None
        else individual.evaluation.fitness(setup.n_trials, aggregate)
        for individual in individuals
    }
    changed = []
    for individual in individuals:
        if not individual.is_inherited and math.isfinite(fitness[individual.index]):
            individual.fitness = fitness[individual.index]
            changed.append(individual)
    if changed:
        Individual.objects.bulk_update(changed, ["fitness"])
    selection = engine.tell(fitness)
    # Parents keep their order, so a new champion is one of this generation's individuals.
    champion = {individual.index: individual for individual in individuals}.get(
        selection.champion_index, run.champion
    )
    generation = Generation.objects.create(
        run=run,
        index=selection.generation,
        champion=champion,
        champion_fitness=_finite(selection.champion_fitness),
        is_improvement=_is_improvement(run, selection),
        n_evaluations=sum(not individual.is_inherited for individual in individuals),
        n_cached=sum(individual.is_cached for individual in individuals),
        created_at=timezone.now(),
    )
    message = _message(run, generation, champion)
    transaction.on_commit(
        lambda: events.announce_generation(setup.experiment_id, message), robust=True
    )
    run.champion = champion
    run.champion_fitness = generation.champion_fitness
    run.n_generations_done = selection.generation
    return _stop_reason(setup, selection)


def _is_improvement(run: Run, selection: Selection) -> bool:
    before = -math.inf if run.champion_fitness is None else run.champion_fitness
    return selection.champion_fitness > before


def _stop_reason(setup: RunSetup, selection: Selection) -> StopReason | None:
    parameters = setup.evolution_parameters
    targets = [parameters.target_fitness]
    if setup.baseline_fitness is not None:
        baseline = setup.baseline_fitness
        targets.append(baseline - _EQUIVALENT_FORMS * abs(baseline))
    if any(target is not None and selection.champion_fitness >= target for target in targets):
        return StopReason.TARGET
    if selection.generation >= parameters.n_generations:
        return StopReason.GENERATIONS
    return None


def _message(run: Run, generation: Generation, champion: Individual) -> GenerationMessage:
    message: GenerationMessage = {
        "run": run.pk,
        "generation": generation.index,
        "fitness": generation.champion_fitness,
        "is_improvement": generation.is_improvement,
        "n_evaluations": generation.n_evaluations,
        "n_cached": generation.n_cached,
    }
    rule_before = None if run.champion is None else run.champion.rule_id
    if champion.rule is not None and champion.rule_id != rule_before:
        message["rule"] = rule_message(champion.rule)
    return message


def _breed(
    setup: RunSetup,
    run: Run,
    engine: Engine,
    *,
    worker: str,
    batch_size: Callable[[int], int],
) -> Step:
    """Write the individuals of the next generation and claim evaluations of their rules."""
    candidates = engine.ask()
    rules = [_rule(setup, candidate) for candidate in candidates]
    records = evaluations.get_or_create_rules(
        setup.learning_task.signature, [rule for rule in rules if rule is not None]
    )
    by_rule, known = evaluations.get_or_create_evaluations(
        setup.context, records.values(), setup.n_trials
    )
    Individual.objects.bulk_create(
        _individuals(run, engine.generation, candidates, rules, records, by_rule, known)
    )
    free = [
        evaluation
        for evaluation in by_rule.values()
        if not evaluation.is_settled(setup.n_trials) and evaluation.state != EvaluationState.CLAIMED
    ]
    free.sort(key=lambda evaluation: evaluation.pk)
    claims = evaluations.claim(
        free,
        {records[rule.key].pk: rule for rule in rules if rule is not None},
        n_trials=setup.n_trials,
        worker=worker,
        batch_size=batch_size(len(free)),
    )
    return Step(has_advanced=True, claims=claims, n_unclaimed=len(free) - len(claims))


def _rule(setup: RunSetup, candidate: Candidate) -> PlasticityRule | None:
    """Return a candidate's rule, None if its expression exceeds the limits of the language."""
    signature = setup.learning_task.signature
    try:
        texts = tuple(
            expression_text(alleles, setup.evolution_parameters, signature.input_names)
            for alleles in candidate.genomes
        )
        return evaluations.canonical_rule(signature, texts)
    except RuleSyntaxError:
        return None


def _individuals(
    run: Run,
    generation: int,
    candidates: list[Candidate],
    rules: list[PlasticityRule | None],
    records: Mapping[str, Rule],
    by_rule: Mapping[int, Evaluation],
    known: frozenset[int],
) -> list[Individual]:
    seen = set(known)
    individuals = []
    for candidate, rule in zip(candidates, rules, strict=True):
        record = None if rule is None else records[rule.key]
        is_inherited = candidate.fitness is not None
        individuals.append(
            Individual(
                run=run,
                index=candidate.index,
                parent_index=candidate.parent_index,
                birth_generation=generation,
                genome=candidate.genomes,
                rule=record,
                evaluation=None if record is None else by_rule[record.pk],
                fitness=None if candidate.fitness is None else _finite(candidate.fitness),
                is_inherited=is_inherited,
                is_cached=not is_inherited and record is not None and record.pk in seen,
            )
        )
        if record is not None:
            seen.add(record.pk)
    return individuals


def _finite(fitness: float) -> float | None:
    return fitness if math.isfinite(fitness) else None
