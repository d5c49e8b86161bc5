"""Evaluations: rules and contexts, claims with a lease, results, and what is known already."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from django.db.models import Case, F, Value, When
from django.utils import timezone

from evolution.enums import EvaluationState, ExperimentState
from evolution.models import Evaluation, EvaluationContext, Individual, Rule
from nest_build.rules import PlasticityRule, RuleSignature
from simulations.evaluation import ENGINE_VERSION
from simulations.learning_tasks import LearningTask, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from simulations.parameters import TaskParameters

#: Time after which the claim of a silent worker is void. Workers renew it three times as often.
LEASE_S = 15.0
#: Claims after which a rule that never got a result is given up.
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Claim:
    """The right and the duty to simulate trials of one rule."""

    evaluation_id: int
    rule: PlasticityRule
    trials: tuple[float, ...]
    n_trials: int
    attempts: int


@dataclass(frozen=True)
class Result:
    """What became of a claim: all values so far, and why there are no more."""

    trials: tuple[float, ...]
    reason: str
    detail: str
    seconds: float


@cache
def engine_version() -> str:
    """Return the versions of everything that the value of a trial depends on."""
    packages = ("nest-simulator", "llvmlite", "symengine", "numpy")
    return ", ".join([f"e2l {ENGINE_VERSION}", *(f"{name} {version(name)}" for name in packages)])


def signature_text(signature: RuleSignature) -> str:
    """Return a signature as rules store it, such as ``v,u,s -> delta_w``."""
    return f"{','.join(signature.input_names)} -> {','.join(signature.branches)}"


@lru_cache(maxsize=16384)
def canonical_rule(signature: RuleSignature, texts: tuple[str, ...]) -> PlasticityRule:
    """Return the rule in the form that is simulated.

    Only this form is ever simulated: else the last digits of a rule's fitness, and with them
    the history, would depend on which of two equivalent genomes was evaluated first.

    Raises
    ------
    RuleSyntaxError
        If a text is not an expression of the language or exceeds its limits.
    """
    return PlasticityRule.parse(signature, texts).canonical()


def get_or_create_context(
    learning_task: LearningTask, parameters: TaskParameters, seed: int
) -> EvaluationContext:
    """Return the context of evaluations with these parameters and trial seeds."""
    parts = [learning_task.name, parameters.trial_digest(), seed, engine_version()]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    context, _ = EvaluationContext.objects.get_or_create(
        digest=digest,
        defaults={
            "learning_task_name": learning_task.name,
            "task_parameters": parameters.to_mapping(),
            "seed": seed,
            "engine_version": engine_version(),
        },
    )
    return context


def get_or_create_rules(
    signature: RuleSignature, rules: Iterable[PlasticityRule]
) -> dict[str, Rule]:
    """Return the records of canonical rules by key, in at most two statements."""
    by_key = {rule.key: rule for rule in rules}
    text = signature_text(signature)
    records = {record.key: record for record in Rule.objects.filter(signature=text, key__in=by_key)}
    # Sorted, so that two runs which add the same rules wait for each other instead of both.
    missing = [
        Rule(
            signature=text,
            key=key,
            fingerprint=by_key[key].fingerprint,
            expressions=list(by_key[key].texts),
            complexity=by_key[key].complexity,
        )
        for key in sorted(by_key.keys() - records.keys())
    ]
    if missing:
        # The needless update makes the database return the id also where another run was faster.
        Rule.objects.bulk_create(
            missing,
            update_conflicts=True,
            unique_fields=["signature", "key"],
            update_fields=["key"],
        )
        records.update((record.key, record) for record in missing)
    return records


def get_or_create_evaluations(
    context: EvaluationContext, rules: Iterable[Rule], n_trials: int
) -> tuple[dict[int, Evaluation], frozenset[int]]:
    """Return an evaluation for each rule, and the ids of the rules that were asked for before.

    Parameters
    ----------
    context : EvaluationContext
    rules : iterable of Rule
    n_trials : int
        Number of trials that a fitness value is made of.

    Returns
    -------
    evaluations : dict of int to Evaluation
        By id of the rule.
    known : frozenset of int
        Ids of the rules that somebody had asked for before.
    """
    ids = {rule.pk for rule in rules}
    evaluations = {
        evaluation.rule_id: evaluation
        for evaluation in Evaluation.objects.filter(context=context, rule_id__in=ids).defer(
            "detail"
        )
    }
    known = frozenset(evaluations)
    short = [e for e in evaluations.values() if e.n_trials < n_trials and not e.reason]
    if short:
        _want_more_trials(short, n_trials)
    new = [
        Evaluation(context=context, rule_id=rule_id, n_trials=n_trials)
        for rule_id in sorted(ids - known)
    ]
    if new:
        Evaluation.objects.bulk_create(
            new,
            update_conflicts=True,
            unique_fields=["context", "rule"],
            update_fields=["context"],
        )
        evaluations.update((evaluation.rule_id, evaluation) for evaluation in new)
    return evaluations, known


def _want_more_trials(evaluations: Sequence[Evaluation], n_trials: int) -> None:
    more = Evaluation.objects.filter(pk__in=[evaluation.pk for evaluation in evaluations])
    more.filter(n_trials__lt=n_trials).update(n_trials=n_trials)
    more.unsettled(n_trials).filter(state=EvaluationState.DONE).update(
        state=EvaluationState.PENDING, attempts=0
    )
    for evaluation in evaluations:
        if evaluation.state == EvaluationState.DONE:
            evaluation.state, evaluation.attempts = EvaluationState.PENDING, 0


def claim(
    evaluations: Sequence[Evaluation],
    rules: Mapping[int, PlasticityRule],
    *,
    n_trials: int,
    worker: str,
    batch_size: int,
) -> list[Claim]:
    """Claim up to ``batch_size`` of the given evaluations, unless others were faster.

    A rule whose claim was lost before may have killed its worker: it is claimed alone, so
    that it takes no others with it.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        Unsettled evaluations.
    rules : mapping of int to PlasticityRule
        Canonical rules by the id of their record.
    """
    fresh = [evaluation for evaluation in evaluations if evaluation.attempts == 0]
    batch = fresh[:batch_size] if fresh else list(evaluations[:1])
    if not batch:
        return []
    now = timezone.now()
    ids = [evaluation.pk for evaluation in batch]
    n_claimed = (
        Evaluation.objects.filter(pk__in=ids)
        .claimable(now, worker)
        .update(
            state=EvaluationState.CLAIMED,
            claimed_by=worker,
            lease_expires_at=now + timedelta(seconds=LEASE_S),
            attempts=F("attempts") + 1,
        )
    )
    if n_claimed < len(ids):
        mine = set(
            Evaluation.objects.filter(
                pk__in=ids, state=EvaluationState.CLAIMED, claimed_by=worker
            ).values_list("pk", flat=True)
        )
        batch = [evaluation for evaluation in batch if evaluation.pk in mine]
    return [
        Claim(
            evaluation_id=evaluation.pk,
            rule=rules[evaluation.rule_id],
            trials=tuple(evaluation.trials),
            n_trials=n_trials,
            attempts=evaluation.attempts + 1,
        )
        for evaluation in batch
    ]


def claimable_of_run(
    run_id: int, context: EvaluationContext, *, n_trials: int, worker: str
) -> list[Evaluation]:
    """Return the evaluations of a run's pending generation that a worker may claim."""
    individuals = Individual.objects.filter(
        run_id=run_id, birth_generation=F("run__pending_generation")
    )
    return list(
        Evaluation.objects.filter(pk__in=individuals.values("evaluation"), context=context)
        .unsettled(n_trials)
        .claimable(timezone.now(), worker)
        .select_related("rule")
        .order_by("pk")
    )


def renew_leases(claims: Iterable[Claim], worker: str) -> None:
    """Tell everybody that the worker which holds the claims is alive."""
    Evaluation.objects.filter(
        pk__in=[claim.evaluation_id for claim in claims],
        state=EvaluationState.CLAIMED,
        claimed_by=worker,
    ).update(lease_expires_at=timezone.now() + timedelta(seconds=LEASE_S))


def release(claims: Iterable[Claim], worker: str, *, detail: str, count_attempt: bool) -> None:
    """Give claims back without a result.

    Parameters
    ----------
    detail : str
        What happened, for operators.
    count_attempt : bool
        Whether the rule may be to blame.
    """
    changes = {"state": EvaluationState.PENDING, "claimed_by": "", "lease_expires_at": None}
    if detail:
        changes["detail"] = detail
    if not count_attempt:
        changes["attempts"] = F("attempts") - 1
    Evaluation.objects.filter(
        pk__in=[claim.evaluation_id for claim in claims],
        state=EvaluationState.CLAIMED,
        claimed_by=worker,
    ).update(**changes)


def record(results: Mapping[int, Result], worker: str) -> None:
    """Write results by id of the evaluation, in one statement.

    A result that comes after the claim was lost is dropped: the worker that took over finds
    the same values.
    """
    records = []
    for evaluation_id, result in results.items():
        n_done = len(result.trials)
        state: Case | EvaluationState = EvaluationState.DONE
        if not result.reason:
            # Somebody may have asked for more trials meanwhile.
            state = Case(
                When(n_trials__gt=n_done, then=Value(EvaluationState.PENDING)),
                default=Value(EvaluationState.DONE),
            )
        records.append(
            Evaluation(
                pk=evaluation_id,
                trials=list(result.trials),
                n_trials_done=n_done,
                reason=result.reason,
                detail=result.detail,
                seconds=F("seconds") + result.seconds,
                state=state,
            )
        )
    Evaluation.objects.filter(state=EvaluationState.CLAIMED, claimed_by=worker).bulk_update(
        records,
        ["trials", "n_trials_done", "reason", "detail", "seconds", "state"],
    )


def give_up(evaluations: Iterable[Evaluation]) -> None:
    """Record that rules never got a result: each of their workers was lost."""
    for evaluation in evaluations:
        Evaluation.objects.filter(pk=evaluation.pk, attempts=evaluation.attempts).exclude(
            state=EvaluationState.DONE
        ).update(
            state=EvaluationState.DONE,
            reason=Reason.CRASH,
            detail=f"{evaluation.attempts} workers were lost while they simulated this rule.",
            lease_expires_at=None,
        )


def runs_waiting_for(evaluation_ids: Iterable[int], *, but_not: int) -> list[int]:
    """Return the ids of the other running runs whose pending generation uses an evaluation."""
    return list(
        Individual.objects.filter(
            evaluation_id__in=evaluation_ids,
            birth_generation=F("run__pending_generation"),
            run__state=ExperimentState.RUNNING,
        )
        .exclude(run_id=but_not)
        .values_list("run_id", flat=True)
        .distinct()
    )
