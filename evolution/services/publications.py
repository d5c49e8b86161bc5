"""Results of the literature as experiments that nobody can change."""

from __future__ import annotations

import math
import statistics
import uuid
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from evolution.cgp.parameters import EvolutionParameters
from evolution.enums import (
    ContextPurpose,
    EvaluationState,
    ExperimentState,
    Origin,
    StopReason,
)
from evolution.models import Evaluation, EvaluationContext, Experiment, Generation, Individual, Run
from evolution.models.experiment import MAX_SEED
from evolution.services import control, evaluations
from evolution.services.held_out import held_out_parameters
from nest_build.rules import RuleSyntaxError
from simulations.learning_tasks import get_learning_task

if TYPE_CHECKING:
    from evolution.published import PublishedRun, PublishedTask
    from nest_build.rules import PlasticityRule
    from simulations.learning_tasks import LearningTask

SOURCE = "Jordan, Schmidt, Senn & Petrovici (2021), eLife 10:e66273"
_NAMESPACE = uuid.UUID("6f0c8f7e-6f53-4a3c-9f57-0a4d1c6f2b8e")


def import_published(task: PublishedTask) -> tuple[Experiment, bool]:
    """Write the published runs of a learning task as one experiment, all of it or nothing.

    The same results a second time change nothing; others of the same folder take the place of those
    that were imported before.

    Returns
    -------
    experiment : Experiment
    is_new : bool
        False if it was there.
    """
    token = uuid.uuid5(_NAMESPACE, task.digest)
    published = Experiment.objects.filter(
        state=ExperimentState.PUBLISHED,
        learning_task_name=task.learning_task_name,
        published__folder=task.folder_name,
    )
    with transaction.atomic():
        present = published.filter(submission_token=token).first()
        if present is not None:
            write_validations(present)
            return present, False
        for earlier in published:
            control.delete_experiment(earlier)
        experiment = _create_experiment(task, token)
        for run in task.runs:
            _write_run(experiment, run)
        write_validations(experiment)
    return experiment, True


def write_validations(experiment: Experiment) -> None:
    """Write the published values of held-out trials where those of one's own validations are."""
    values = experiment.published["validations"]
    champions = {
        str(run.index): run.champion.rule
        for run in experiment.runs.select_related("champion__rule")
        if run.champion is not None and run.champion.rule is not None
    }
    found = {
        champions[index].pk: (champions[index], trials)
        for index, trials in values.items()
        if index in champions and all(map(math.isfinite, trials))
    }
    if not found:
        return
    learning_task = experiment.learning_task
    preset = learning_task.presets["paper"]
    parameters = held_out_parameters(preset, preset.task_parameters)
    context, _ = EvaluationContext.objects.get_or_create(
        digest=evaluations.published_digest(experiment),
        defaults={
            "learning_task_name": learning_task.name,
            "task_parameters": parameters.to_mapping(),
            "seed": preset.validation_seed,
            "engine_version": SOURCE,
            "purpose": ContextPurpose.PUBLISHED,
        },
    )
    Evaluation.objects.bulk_create(
        [
            Evaluation(
                context=context,
                rule=rule,
                trials=trials,
                n_trials_done=len(trials),
                worst=min(trials),
                score=learning_task.aggregate(trials),
                complexity=rule.complexity,
                state=EvaluationState.DONE,
            )
            for rule, trials in found.values()
        ],
        ignore_conflicts=True,
    )


def _create_experiment(task: PublishedTask, token: uuid.UUID) -> Experiment:
    learning_task = get_learning_task(task.learning_task_name)
    preset = learning_task.presets["paper"]
    longest = max(len(run.champion_fitness) for run in task.runs)
    changes = {**preset.evolution, "n_generations": max(1, longest - 1)}
    seed = task.parameters.get("seed")
    is_seed = isinstance(seed, int) and 0 <= seed <= MAX_SEED
    now = timezone.now()
    return Experiment.objects.create(
        name=f"Published: {learning_task.title}",
        learning_task_name=learning_task.name,
        preset=preset.name,
        task_parameters=preset.task_parameters.to_mapping(),
        evolution_parameters=EvolutionParameters.from_mapping(changes).to_mapping(),
        seed=seed if is_seed else preset.seed,
        n_runs=len(task.runs),
        state=ExperimentState.PUBLISHED,
        submission_token=token,
        published={
            "folder": task.folder_name,
            "parameters": task.parameters,
            "validations": {str(run.number): run.validation for run in task.runs if run.validation},
        },
        provenance={"source": SOURCE, **_validations_in_words(task)},
        started_at=now,
        finished_at=now,
    )


def _validations_in_words(task: PublishedTask) -> dict[str, str]:
    """Return mean and standard error over held-out trials, by a name for people."""
    words = {}
    for run in task.runs:
        if len(run.validation) > 1:
            mean = statistics.fmean(run.validation)
            error = statistics.stdev(run.validation) / math.sqrt(len(run.validation))
            words[f"validation of run {run.number + 1}"] = (
                f"{mean:.4g} ± {error:.2g}, mean and standard error of {len(run.validation)} trials"
            )
    return words


def _write_run(experiment: Experiment, published: PublishedRun) -> None:
    now = timezone.now()
    parameters = experiment.get_evolution_parameters()
    n_done = len(published.champion_fitness) - 1
    is_short = n_done < parameters.n_generations
    run = Run.objects.create(
        experiment=experiment,
        index=published.number,
        seed=experiment.seed + published.number,
        state=ExperimentState.FINISHED,
        stop_reason=StopReason.TARGET if is_short else StopReason.GENERATIONS,
        n_generations_done=n_done,
        started_at=now,
        finished_at=now,
        last_progress_at=now,
    )
    individuals = _champions(run, published, experiment.learning_task)
    once = {individual.index: individual for individual in individuals}
    Individual.objects.bulk_create(once.values(), batch_size=500)
    best = -math.inf
    generations = []
    for index, (individual, fitness) in enumerate(
        zip(individuals, published.champion_fitness, strict=True)
    ):
        generations.append(
            Generation(
                run=run,
                index=index,
                champion=individual,
                champion_fitness=fitness if math.isfinite(fitness) else None,
                is_improvement=fitness > best,
                parents=[[individual.index]],
                created_at=now,
            )
        )
        if fitness > best:
            best, run.improved_at_generation = fitness, index
    Generation.objects.bulk_create(generations, batch_size=500)
    run.champion = individuals[-1]
    run.champion_fitness = best if math.isfinite(best) else None
    run.save()


def _champions(run: Run, published: PublishedRun, learning_task: LearningTask) -> list[Individual]:
    """Return the champion of each generation; one that stays is one individual.

    Genomes were not published: who followed whom is all that is known of descent.
    """
    rules = {
        texts: _rule(learning_task, texts)
        for texts in set(published.champions)
        if texts is not None
    }
    ids = evaluations.get_or_create_rules(
        learning_task.signature, {rule.key: rule for rule in rules.values() if rule}.values()
    )
    individuals: list[Individual] = []
    before = None
    for generation, (texts, fitness) in enumerate(
        zip(published.champions, published.champion_fitness, strict=True)
    ):
        rule = rules.get(texts)
        known = (rule and rule.key, fitness)
        if known != before:
            last = individuals[-1] if individuals else None
            individual = Individual(
                run=run,
                index=last.index + 1 if last else 0,
                parent_index=last.index if last else None,
                birth_generation=generation,
                origin=Origin.MUTATION if last else Origin.RANDOM,
                genome=[[]],
                rule_id=ids[rule.key] if rule else None,
                fitness=fitness if math.isfinite(fitness) else None,
            )
        individuals.append(individual)
        before = known
    return individuals


def _rule(learning_task: LearningTask, texts: tuple[str, ...]) -> PlasticityRule | None:
    try:
        return evaluations.canonical_rule(learning_task.signature, texts)
    except RuleSyntaxError:
        # Infinities, for example: the value is known, the rule is none.
        return None
