"""Evaluations: the records of rules, contexts, and what is known and wanted of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from django.db.models import FilteredRelation, Q
from django.utils import timezone

from evolution.enums import ContextPurpose
from evolution.models import Evaluation, EvaluationContext, Rule
from evolution.models.rule import signature_text
from evolution.prepared import PreparedQuery, insert, number_places, padded, text_places
from nest_build.rules import PlasticityRule, RuleSignature
from simulations.evaluation import ENGINE_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evolution.models import Experiment
    from simulations.learning_tasks import LearningTask
    from simulations.parameters import TaskParameters


@dataclass(frozen=True)
class Want:
    """How much somebody wants to know of a rule: see :class:`evolution.models.Demand`."""

    n_trials: int
    bound: float | None

    def merged(self, other: Want) -> Want:
        """Return what satisfies both."""
        bounds = (self.bound, other.bound)
        return Want(
            max(self.n_trials, other.n_trials),
            None if None in bounds else min(bounds),
        )


@cache
def engine_version() -> str:
    """Return the versions of everything that the value of a trial depends on."""
    packages = ("nest-simulator", "llvmlite", "symengine", "numpy")
    return ", ".join([f"e2l {ENGINE_VERSION}", *(f"{name} {version(name)}" for name in packages)])


@lru_cache(maxsize=2048)
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
    learning_task: LearningTask,
    parameters: TaskParameters,
    seed: int,
    purpose: ContextPurpose = ContextPurpose.EVOLUTION,
    *,
    only_for: int | None = None,
    engine: str | None = None,
    is_shared: bool = True,
) -> EvaluationContext:
    """Return the context of evaluations with these parameters and trial seeds.

    Parameters
    ----------
    only_for : int, optional
        Id of the experiment that shares its evaluations with no other one: because they come from
        a stranger, or because it is to simulate everything anew.
    engine : str, optional
        Versions that the values were simulated with; by default those of this process.
    is_shared : bool
        Whether the laboratory may know that these trials were used.
    """
    engine = engine_version() if engine is None else engine
    parts = [learning_task.name, parameters.trial_digest(), seed, engine]
    if only_for is not None:
        parts.append(f"only for experiment {only_for}")
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    context, _ = EvaluationContext.objects.get_or_create(
        digest=digest,
        defaults={
            "learning_task_name": learning_task.name,
            "task_parameters": parameters.to_mapping(),
            "seed": seed,
            "engine_version": engine,
            "purpose": purpose,
            "shared_at": timezone.now() if is_shared else None,
        },
    )
    if is_shared and context.shared_at is None:
        context.shared_at = timezone.now()
        context.save(update_fields=["shared_at"])
    return context


def published_digest(experiment: Experiment) -> str:
    """Return the digest of the context of an experiment's published held-out trials."""
    return hashlib.sha256(f"published {experiment.submission_token}".encode()).hexdigest()


def find_rules(
    signature: RuleSignature,
    keys: Iterable[str],
    context: EvaluationContext,
    *,
    is_shared: bool = True,
) -> dict[str, tuple[int, Evaluation | None]]:
    """Return by key the ids of rules that have a record, and what is known of them in a context.

    One statement, and another one where rules that only private experiments had found become
    known to the laboratory.
    """
    wanted = padded(sorted(set(keys)))
    rows = _rules_query(len(wanted)).rows(
        dict(
            zip(
                [*number_places(1), *text_places(1 + len(wanted))],
                [context.pk, signature_text(signature), *wanted],
                strict=True,
            )
        )
    )
    found: dict[str, tuple[int, Evaluation | None]] = {}
    private = []
    for (
        key, rule_id, shared_at, pk, trials, n_done, worst, state, attempts, reason, seconds
    ) in rows:  # fmt: skip
        if shared_at is None:
            private.append(rule_id)
        evaluation = None
        if pk is not None:
            evaluation = Evaluation(
                pk=pk,
                context=context,
                rule_id=rule_id,
                trials=trials,
                n_trials_done=n_done,
                worst=worst,
                state=state,
                attempts=attempts,
                reason=reason,
                seconds=seconds,
            )
        found[key] = (rule_id, evaluation)
    if private and is_shared:
        _share(private)
    return found


@lru_cache(maxsize=16)
def _rules_query(n_keys: int) -> PreparedQuery:
    """Return the question for so many rules; its places are context, signature and keys."""
    (context,) = number_places(1)
    signature, *keys = text_places(1 + n_keys)
    return PreparedQuery(
        Rule.objects.filter(signature=signature, key__in=keys)
        .annotate(known=FilteredRelation("evaluations", condition=Q(evaluations__context=context)))
        .values_list(
            "key",
            "pk",
            "shared_at",
            "known__pk",
            "known__trials",
            "known__n_trials_done",
            "known__worst",
            "known__state",
            "known__attempts",
            "known__reason",
            "known__seconds",
        )
    )


def _share(rule_ids: Iterable[int]) -> None:
    hidden = Rule.objects.filter(pk__in=list(rule_ids), shared_at__isnull=True)
    hidden.update(shared_at=timezone.now())


def get_or_create_rules(
    signature: RuleSignature,
    rules: Iterable[PlasticityRule],
    known: Mapping[str, int] | None = None,
    *,
    is_shared: bool = True,
) -> dict[str, int]:
    """Return the ids of the records of canonical rules by key.

    Parameters
    ----------
    known : mapping of str to int, optional
        Ids by key that are known already; looked up by default.
    is_shared : bool
        Whether the laboratory may know that these rules were found.
    """
    by_key = {rule.key: rule for rule in rules}
    text = signature_text(signature)
    if known is None:
        rows = Rule.objects.filter(signature=text, key__in=by_key)
        found = list(rows.values_list("key", "pk", "shared_at"))
        known = {key: pk for key, pk, _ in found}
        private = [pk for _, pk, shared_at in found if shared_at is None]
        if private and is_shared:
            _share(private)
    ids = {key: known[key] for key in by_key.keys() & known.keys()}
    now = timezone.now()
    # Sorted, so that two runs which add the same rules wait for each other instead of both.
    missing = [
        Rule(
            signature=text,
            key=key,
            fingerprint=by_key[key].fingerprint,
            family=by_key[key].family,
            expressions=list(by_key[key].texts),
            complexity=by_key[key].complexity,
            shared_at=now if is_shared else None,
        )
        for key in sorted(by_key.keys() - ids.keys())
    ]
    if missing:
        # The needless update makes the database return the id also where another run was faster.
        insert(
            missing,
            unique=["signature", "key"],
            update=["key", "shared_at"] if is_shared else ["key"],
        )
        ids.update((record.key, record.pk) for record in missing)
    return ids


def create_evaluations(
    context: EvaluationContext, complexities: Mapping[int, int]
) -> dict[int, Evaluation]:
    """Return evaluations of rules that have none in a context yet, by the rules' ids.

    Parameters
    ----------
    complexities : mapping of int to int
        The complexity of each rule by its id.
    """
    new = [
        Evaluation(context=context, rule_id=rule_id, complexity=complexity)
        for rule_id, complexity in sorted(complexities.items())
    ]
    insert(new, unique=["context", "rule"], update=["context"])
    return {evaluation.rule_id: evaluation for evaluation in new}
