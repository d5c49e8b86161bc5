"""Validations: rules are simulated with held-out seeds, beside the rules of the literature.

A person's question becomes demands for evaluations in contexts with held-out seeds. Workers meet
them as they meet those of experiments, so every trial is simulated once, for all questions.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from evolution.enums import (
    Action,
    ContextPurpose,
    EvaluationState,
    ValidationKind,
    ValidationState,
    Visibility,
)
from evolution.errors import ValidationRefused
from evolution.fronts import front_rules
from evolution.models import Demand, Evaluation, EvaluationContext, Rule, Validation
from evolution.models.rule import signature_text
from evolution.services import audit, evaluations
from evolution.services.control import RETRIABLE, wake_on_commit
from evolution.services.held_out import held_out_parameters, held_out_seed
from simulations.variations import variations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.contrib.auth.models import AbstractBaseUser

    from evolution.catalogue import Context
    from evolution.models import Experiment
    from evolution.models.experiment import ExperimentQuerySet
    from evolution.services.couriers import Courier
    from simulations.learning_tasks import LearningTask, Preset
    from simulations.parameters import TaskParameters

MAX_TRIALS = 200
#: Trials at each value of a parameter, unless somebody wants another number.
N_ROBUSTNESS_TRIALS = 5
#: Validations of one person that may be open.
MAX_OPEN = 4


def request_validation(
    rules: Sequence[Rule],
    learning_task: LearningTask,
    *,
    preset: Preset,
    parameters: TaskParameters,
    n_trials: int,
    owner: AbstractBaseUser | None,
    seed: int | None = None,
    subject: str = "",
    experiment: Experiment | None = None,
    courier: Courier | None = None,
) -> Validation:
    """Ask for the values of rules, and of the rules of the literature, in held-out trials.

    The same question asked twice is one record. Trials that are known already are not simulated
    again, whoever has asked for them.

    Parameters
    ----------
    preset : Preset
        What differs in held-out trials, and their seed.
    parameters : TaskParameters
        With which the rules were evolved.
    seed : int, optional
        Another seed than the preset's.
    subject : str
        Which rules these are, in words.
    experiment : Experiment, optional
        Whose rules they are.

    Raises
    ------
    ValidationRefused
        If rules or seed do not fit, or too many validations of this person are open.
    """
    _check(rules, learning_task, n_trials)
    held_out = held_out_parameters(preset, parameters).with_changes({"n_trials": n_trials})
    is_shared = experiment is None or experiment.visibility == Visibility.LABORATORY
    context = _context(
        learning_task, held_out, held_out_seed(learning_task, preset, seed), is_shared=is_shared
    )
    return _request(
        ValidationKind.VALIDATION, rules, learning_task, context, [context], n_trials, owner,
        subject=subject, experiment=experiment, courier=courier,
    )  # fmt: skip


def request_for_experiment(
    experiment: Experiment,
    rules: Sequence[Rule],
    *,
    subject: str,
    n_trials: int | None = None,
    owner: AbstractBaseUser | None,
    seed: int | None = None,
    courier: Courier | None = None,
) -> Validation:
    """Ask for the values of some rules of an experiment in held-out trials of its own parameters.

    Parameters
    ----------
    subject : str
        Which rules these are, in words.
    n_trials : int, optional
        By default as many as make a fitness there.

    Raises
    ------
    ValidationRefused
        As for validations.
    """
    learning_task = experiment.learning_task
    parameters = experiment.get_task_parameters()
    return request_validation(
        rules,
        learning_task,
        preset=preset_of(learning_task, experiment.preset),
        parameters=parameters,
        n_trials=parameters.n_trials if n_trials is None else n_trials,
        owner=owner,
        seed=seed,
        subject=subject,
        experiment=experiment,
        courier=courier,
    )


def request_for_front(
    chosen: Context,
    learning_task: LearningTask,
    *,
    visible: ExperimentQuerySet,
    n_trials: int | None = None,
    owner: AbstractBaseUser | None,
) -> Validation:
    """Ask for the values of the rules on the Pareto front of trials that experiments share.

    Parameters
    ----------
    chosen : catalogue.Context
        Whose trials.
    visible : queryset of Experiment
        What the person who asks may see.
    n_trials : int, optional
        By default as many as make a fitness there.

    Raises
    ------
    ValidationRefused
        As for validations.
    """
    source = EvaluationContext.objects.get(pk=chosen.pk)
    # What only private experiments have tried stays with the one that is shown.
    experiment = visible.filter(context=source).first() if source.shared_at is None else None
    return request_validation(
        front_rules(chosen.pk, chosen.n_trials),
        learning_task,
        preset=preset_of(learning_task, chosen.preset),
        parameters=learning_task.parameters_type.from_mapping(source.task_parameters),
        n_trials=chosen.n_trials if n_trials is None else n_trials,
        owner=owner,
        subject="Pareto front of the catalogue",
        experiment=experiment,
    )


def preset_of(learning_task: LearningTask, name: str) -> Preset:
    """Return a preset, the first one where there is none of that name (any more)."""
    return learning_task.presets.get(name) or next(iter(learning_task.presets.values()))


def request_robustness(
    rule: Rule,
    learning_task: LearningTask,
    *,
    preset: Preset,
    parameters: TaskParameters,
    n_trials: int,
    owner: AbstractBaseUser | None,
    seed: int | None = None,
    courier: Courier | None = None,
) -> Validation:
    """Ask for the values of a rule, and of the rules of the literature, where one parameter of the
    learning task at a time has another value; see :func:`simulations.variations.variations`.

    Raises
    ------
    ValidationRefused
        As for validations.
    """
    _check([rule], learning_task, n_trials)
    base = held_out_parameters(preset, parameters).with_changes({"n_trials": n_trials})
    seed = held_out_seed(learning_task, preset, seed)
    context = _context(learning_task, base, seed)
    contexts, varied = [context], []
    for variation in variations(base):
        other = evaluations.get_or_create_context(
            learning_task, variation.parameters, seed, ContextPurpose.ROBUSTNESS
        )
        contexts.append(other)
        varied.append([variation.name, variation.factor, variation.value, other.pk])
    return _request(
        ValidationKind.ROBUSTNESS, [rule], learning_task, context, contexts, n_trials, owner,
        variations=varied, courier=courier,
    )  # fmt: skip


def cancel(validation: Validation) -> None:
    """Let workers leave what is missing; values that are known stay."""
    _end(Validation.objects.filter(pk=validation.pk), ValidationState.CANCELLED)


def fail_validation(validation_id: int, detail: str) -> None:
    """End a validation that no rule is to blame for."""
    _end(Validation.objects.filter(pk=validation_id), ValidationState.FAILED, detail)


def finish_answered() -> None:
    """End the validations that wait for nothing any more."""
    missing = Demand.objects.filter(validation=OuterRef("pk")).unsettled()
    _end(Validation.objects.filter(~Exists(missing)), ValidationState.FINISHED)


def _end(validations: Iterable[Validation], state: str, detail: str = "") -> None:
    ids = list(validations.open().values_list("pk", flat=True))
    if not ids:
        return
    with transaction.atomic():
        Validation.objects.open().filter(pk__in=ids).update(
            state=state, detail=detail, finished_at=Now()
        )
        Demand.objects.filter(validation__in=ids).delete()


# --- parts --------------------------------------------------------------------------------------


def _context(
    learning_task: LearningTask, parameters: TaskParameters, seed: int, *, is_shared: bool = True
) -> EvaluationContext:
    context = evaluations.get_or_create_context(
        learning_task, parameters, seed, ContextPurpose.VALIDATION, is_shared=is_shared
    )
    if context.purpose == ContextPurpose.ROBUSTNESS:
        # What was a variation of other parameters serves as validation as well.
        context.purpose = ContextPurpose.VALIDATION
        context.save(update_fields=["purpose"])
    return context


def _check(rules: Sequence[Rule], learning_task: LearningTask, n_trials: int) -> None:
    if not rules:
        raise ValidationRefused("There is no rule to validate yet.")
    if not 1 <= n_trials <= MAX_TRIALS:
        raise ValidationRefused(f"The number of trials must be from 1 to {MAX_TRIALS}.")
    signature = signature_text(learning_task.signature)
    if any(rule.signature != signature for rule in rules):
        raise ValidationRefused(
            f"The rule does not fit the learning task {learning_task.name}, which has {signature}."
        )


def _request(
    kind: ValidationKind,
    rules: Sequence[Rule],
    learning_task: LearningTask,
    context: EvaluationContext,
    contexts: Sequence[EvaluationContext],
    n_trials: int,
    owner: AbstractBaseUser | None,
    *,
    subject: str = "",
    experiment: Experiment | None = None,
    variations: Sequence[Sequence[object]] = (),
    courier: Courier | None = None,
) -> Validation:
    ids = sorted({rule.pk for rule in rules})
    parts = [kind, ids, [item.pk for item in contexts], n_trials]
    if experiment is not None and context.shared_at is None:
        # What only readers of an experiment may know is asked for each experiment.
        parts.append(experiment.pk)
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    answered = (ValidationState.OPEN, ValidationState.FINISHED)
    known = Validation.objects.filter(digest=digest).first()
    if known is not None and known.state in answered and not _may_repeat(known, ids, contexts):
        return known
    if Validation.objects.open().filter(owner=owner).count() >= MAX_OPEN:
        raise ValidationRefused(
            f"{MAX_OPEN} of your validations are not finished yet. Wait until one of them is, or "
            "cancel one."
        )
    with transaction.atomic():
        validation, _ = Validation.objects.update_or_create(
            digest=digest,
            defaults={
                "kind": kind,
                "subject": subject or str(rules[0])[:250],
                "rule": rules[0] if len(ids) == 1 else None,
                "experiment": experiment,
                "context": context,
                "n_trials": n_trials,
                "variations": [list(item) for item in variations],
                "owner": owner,
                "state": ValidationState.OPEN,
                "detail": "",
                "estimated_s": 0.0,
                "served_at": None,
                "finished_at": None,
            },
        )
        audit.record(
            Action.SIMULATED,
            by=owner,
            experiment=experiment,
            subject="" if experiment else _subject(validation),
            detail=f"{kind} of {validation.subject} in {learning_task.name}, {n_trials} trials",
        )
        _demand(validation, rules, learning_task, contexts)
        if not validation.demands.exists():
            Validation.objects.filter(pk=validation.pk).update(
                state=ValidationState.FINISHED, finished_at=Now()
            )
        else:
            wake_on_commit(courier, len(contexts))
    validation.refresh_from_db()
    return validation


def _subject(validation: Validation) -> str:
    return f"rule {validation.rule_id}" if validation.rule_id else validation.subject


def _may_repeat(
    known: Validation, rule_ids: Sequence[int], contexts: Sequence[EvaluationContext]
) -> bool:
    """Return whether an answered question has failures that may pass."""
    return (
        known.state == ValidationState.FINISHED
        and Evaluation.objects.filter(
            context__in=contexts, rule__in=rule_ids, reason__in=RETRIABLE
        ).exists()
    )


def _demand(
    validation: Validation,
    rules: Sequence[Rule],
    learning_task: LearningTask,
    contexts: Sequence[EvaluationContext],
) -> None:
    """Write down which evaluations a validation lacks, and how long they will take."""
    complexities = {rule.pk: rule.complexity for rule in rules}
    baselines = [rule for _, rule in learning_task.canonical_baselines]
    ids = evaluations.get_or_create_rules(learning_task.signature, baselines)
    complexities |= {ids[rule.key]: rule.complexity for rule in baselines}
    known = {
        (evaluation.context_id, evaluation.rule_id): evaluation
        for evaluation in Evaluation.objects.filter(
            context__in=contexts, rule__in=complexities
        ).defer("detail")
    }
    demands, estimated_s = [], 0.0
    for context in contexts:
        missing = {
            rule_id: complexity
            for rule_id, complexity in complexities.items()
            if (context.pk, rule_id) not in known
        }
        found = evaluations.create_evaluations(context, missing)
        found |= {pk: known[context.pk, pk] for pk in complexities.keys() - missing.keys()}
        lacking = [item for item in found.values() if _is_lacking(item, validation.n_trials)]
        if not lacking:
            continue
        demands += [
            Demand(validation=validation, evaluation=item, n_trials=validation.n_trials)
            for item in sorted(lacking, key=lambda item: item.pk)
        ]
        n_missing = validation.n_trials - min(item.n_trials_done for item in lacking)
        parameters = learning_task.parameters_type.from_mapping(context.task_parameters)
        estimated_s += n_missing * learning_task.estimate_seconds(parameters, len(lacking))
    # Failures that may pass are tried again.
    repeated = [item.evaluation.pk for item in demands if item.evaluation.reason]
    Evaluation.objects.filter(pk__in=repeated).update(
        reason="", detail="", attempts=0, state=EvaluationState.PENDING
    )
    Demand.objects.bulk_create(demands)
    Validation.objects.filter(pk=validation.pk).update(estimated_s=estimated_s)


def _is_lacking(evaluation: Evaluation, n_trials: int) -> bool:
    if evaluation.reason:
        return evaluation.reason in RETRIABLE
    return evaluation.n_trials_done < n_trials
