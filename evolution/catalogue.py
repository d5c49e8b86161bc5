"""Reads of rules: every class of equivalent rules that was ever found, and how fit they are.

No statement here looks at all individuals. The records of rules know their class (the
fingerprint), family and complexity, those of evaluations the score and complexity; lists are
sorted and filtered by indices of these. What needs individuals is asked for the rules of one page
only: see :mod:`evolution.discoveries`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Exists, F, Min, OuterRef, Q, Subquery

from evolution.discoveries import N_FORMS_OF_MANY, found_counts
from evolution.enums import ContextPurpose
from evolution.models import Evaluation, Rule, RuleNote
from nest_build.rules import PlasticityRule, RuleSyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.db.models import QuerySet

    from evolution.models.experiment import ExperimentQuerySet
    from evolution.models.rule import RuleQuerySet
    from simulations.learning_tasks import LearningTask

#: Separates the branches of a rule in a text.
SEPARATOR = ";"

SORTS = ("fitness", "newest", "oldest", "simplest")


@dataclass(frozen=True)
class Context:
    """A context whose fitness values may be compared, and who uses it.

    Attributes
    ----------
    n_trials : int
        Trials that make a fitness in the experiment that asks for the fewest.
    """

    pk: int
    n_trials: int
    seed: int
    preset: str
    experiments: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Criteria:
    """Which classes of rules are wanted; None for no condition.

    Attributes
    ----------
    context : Context or None
        Only rules that were evaluated in all trials there.
    """

    signature: str | None = None
    context: Context | None = None
    fingerprint: str | None = None
    family: str | None = None
    complexity_min: int | None = None
    complexity_max: int | None = None
    fitness_min: float | None = None
    fitness_max: float | None = None
    sort: str = "newest"


@dataclass
class RuleClass:
    """A class of equivalent rules as the list shows it.

    Attributes
    ----------
    rule : Rule
        The simplest member (in the context, if one was chosen).
    evaluation : Evaluation or None
        Of that member in the context, or the latest one.
    """

    rule: Rule
    evaluation: Evaluation | None = None
    first_found: Rule | None = None
    n_forms: int = 1
    n_runs: int = 0
    n_experiments: int = 0

    @property
    def is_lower_bound(self) -> bool:
        """Whether it may have been found in more runs: not all forms were looked at."""
        return self.n_forms > N_FORMS_OF_MANY


# --- search -------------------------------------------------------------------------------------


def parse_rule(text: str, learning_task: LearningTask) -> PlasticityRule:
    """Return the rule that somebody typed, branches separated by semicolons.

    Raises
    ------
    RuleSyntaxError
        With the column in the whole text.
    """
    parts = text.split(SEPARATOR)
    try:
        return PlasticityRule.parse(learning_task.signature, parts).canonical()
    except RuleSyntaxError as error:
        if error.column is None or len(parts) == 1:
            raise
        # The message names the branch; the column is that of its own text.
        name = error.message.partition(":")[0]
        before = parts[: learning_task.signature.branches.index(name)]
        start = sum(len(part) + len(SEPARATOR) for part in before)
        raise RuleSyntaxError(error.message, start + error.column) from None


# --- contexts -----------------------------------------------------------------------------------


def contexts(learning_task: LearningTask, visible: ExperimentQuerySet) -> list[Context]:
    """Return the contexts of visible experiments of a task, the latest experiment's first."""
    rows = (
        visible.filter(learning_task_name=learning_task.name, context__isnull=False)
        .newest_first()
        .values_list("context_id", "pk", "name", "preset", "seed", "task_parameters__n_trials")
    )
    found: dict[int, Context] = {}
    for context_id, pk, name, preset, seed, n_trials in rows:
        known = found.get(context_id)
        experiments = (*(known.experiments if known else ()), (pk, name))
        fewest = min(int(n_trials or 1), known.n_trials if known else int(n_trials or 1))
        found[context_id] = Context(context_id, fewest, seed, preset, experiments)
    return list(found.values())


# --- the list -----------------------------------------------------------------------------------


def rule_classes(
    criteria: Criteria, *, offset: int, limit: int, visible: ExperimentQuerySet
) -> tuple[list[RuleClass], bool]:
    """Return a page of classes, and whether there are more.

    Counts are those of visible experiments. Five statements. How many classes there are in all
    would take a look at all rules.
    """
    if criteria.context is not None:
        chosen = _evaluated(criteria)[offset : offset + limit + 1]
        classes = [RuleClass(evaluation.rule, evaluation) for evaluation in chosen]
    else:
        classes = [RuleClass(rule) for rule in _rules(criteria)[offset : offset + limit + 1]]
    is_more = len(classes) > limit
    classes = classes[:limit]
    _add_members(classes, keep_rule=criteria.context is not None)
    if criteria.context is None:
        _add_evaluations(classes)
    counts = found_counts(
        {item.rule.fingerprint for item in classes}, n_forms=N_FORMS_OF_MANY, visible=visible
    )
    for item in classes:
        item.n_runs, item.n_experiments = counts.get(_class_of(item.rule), (0, 0))
    return classes, is_more


def _evaluated(criteria: Criteria) -> QuerySet[Evaluation]:
    """Return the evaluations in the context of the simplest member of each class."""
    complete = Evaluation.objects.filter(
        context_id=criteria.context.pk,
        score__isnull=False,
        n_trials_done__gte=criteria.context.n_trials,
        rule__shared_at__isnull=False,
    )
    simpler = complete.filter(rule__fingerprint=OuterRef("rule__fingerprint")).filter(
        Q(complexity__lt=OuterRef("complexity"))
        | Q(complexity=OuterRef("complexity"), rule_id__lt=OuterRef("rule_id"))
    )
    # The context says which learning task it is: asking for the signature would make SQLite begin
    # with all rules.
    found = complete.filter(~Exists(simpler)).filter(
        *_conditions(replace(criteria, signature=None), prefix="rule__", complexity="complexity")
    )
    if criteria.fitness_min is not None:
        found = found.filter(score__gte=criteria.fitness_min)
    if criteria.fitness_max is not None:
        found = found.filter(score__lte=criteria.fitness_max)
    order = {
        "fitness": ("-score", "-pk"),
        "newest": ("-context_id", "-rule_id"),
        "oldest": ("context_id", "rule_id"),
        "simplest": ("complexity", "-score", "pk"),
    }
    return found.select_related("rule").defer("detail").order_by(*order[criteria.sort])


def _rules(criteria: Criteria) -> QuerySet[Rule]:
    """Return one rule of each class: the simplest, or the first where time is the order."""
    same = Rule.objects.shared().filter(
        fingerprint=OuterRef("fingerprint"), signature=OuterRef("signature")
    )
    if criteria.sort == "simplest":
        order = ("complexity", "pk")
        better = same.filter(
            Q(complexity__lt=OuterRef("complexity"))
            | Q(complexity=OuterRef("complexity"), pk__lt=OuterRef("pk"))
        )
    else:
        order = ("pk",) if criteria.sort == "oldest" else ("-pk",)
        better = same.filter(pk__lt=OuterRef("pk"))
    found = Rule.objects.shared().filter(~Exists(better), *_conditions(criteria))
    return found.order_by(*order)


def _conditions(criteria: Criteria, prefix: str = "", complexity: str | None = None) -> Iterator[Q]:
    complexity = complexity or f"{prefix}complexity"
    for name, value in (
        (f"{prefix}signature", criteria.signature),
        (f"{prefix}fingerprint", criteria.fingerprint),
        (f"{prefix}family", criteria.family),
        (f"{complexity}__gte", criteria.complexity_min),
        (f"{complexity}__lte", criteria.complexity_max),
    ):
        if value is not None:
            yield Q(**{name: value})


def _class_of(rule: Rule) -> tuple[str, str]:
    return rule.signature, rule.fingerprint


def _add_members(classes: Sequence[RuleClass], *, keep_rule: bool) -> None:
    """Count the forms of each class, and find the simplest and the first of them."""
    fingerprints = {item.rule.fingerprint for item in classes}
    members = Rule.objects.shared().filter(fingerprint__in=fingerprints)
    figures = {
        (signature, fingerprint): (n_forms, first)
        for signature, fingerprint, n_forms, first in members.values_list(
            "signature", "fingerprint"
        ).annotate(Count("pk"), Min("pk"))
    }
    simplest: dict[tuple[str, str], int] = {}
    if not keep_rule:
        # Asked for each class, not for each of its members, of which there may be thousands.
        least = (
            Rule.objects.shared()
            .filter(fingerprint=OuterRef("fingerprint"), signature=OuterRef("signature"))
            .order_by("complexity", "pk")
            .values("pk")[:1]
        )
        found = Rule.objects.filter(pk__in=[item.rule.pk for item in classes])
        simplest = {
            (signature, fingerprint): pk
            for signature, fingerprint, pk in found.values_list(
                "signature", "fingerprint", Subquery(least)
            )
            if pk is not None
        }
    wanted = {first for _, first in figures.values()} | set(simplest.values())
    rules = Rule.objects.in_bulk(wanted)
    for item in classes:
        own = _class_of(item.rule)
        item.n_forms, first = figures[own]
        item.first_found = rules[first]
        item.rule = rules.get(simplest.get(own), item.rule)


def _add_evaluations(classes: Sequence[RuleClass]) -> None:
    """Give each class the latest evaluation of its simplest member."""
    latest: dict[int, Evaluation] = {}
    evaluations = Evaluation.objects.filter(
        rule_id__in=[item.rule.pk for item in classes],
        context__purpose=ContextPurpose.EVOLUTION,
        context__shared_at__isnull=False,
    )
    for evaluation in evaluations.select_related("context").defer("detail").order_by("pk"):
        latest[evaluation.rule_id] = evaluation
    for item in classes:
        item.evaluation = latest.get(item.rule.pk)


# --- one rule -----------------------------------------------------------------------------------


def rule_with_notes(pk: int, visible: RuleQuerySet) -> tuple[Rule, list[dict[str, Any]]] | None:
    """Return a visible rule and what people note about it, in one statement; None without one."""
    names = {"author": "author__username", "author_id": "author_id", "name": "name", "text": "text"}
    joined = {f"note_{name}": F(f"notes__{path}") for name, path in names.items()}
    rows = list(visible.filter(pk=pk).annotate(**joined).order_by("notes__pk"))
    if not rows:
        return None
    notes = [{name: getattr(row, f"note_{name}") for name in names} for row in rows]
    return rows[0], [note for note in notes if note["author_id"] is not None]


def names_of_rules(signature: str, fingerprints: Iterable[str]) -> dict[str, list[str]]:
    """Return the names that people gave any form of some classes of rules, by fingerprint."""
    named = RuleNote.objects.filter(
        rule__signature=signature,
        rule__fingerprint__in=list(fingerprints),
        rule__shared_at__isnull=False,
    )
    found: dict[str, list[str]] = {}
    for fingerprint, name in named.order_by("pk").values_list("rule__fingerprint", "name"):
        names = found.setdefault(fingerprint, [])
        if name not in names:
            names.append(name)
    return found


def forms(rule: Rule) -> QuerySet[Rule]:
    """Return the members of a rule's class that the laboratory knows and itself, simplest first."""
    return Rule.objects.filter(
        Q(shared_at__isnull=False) | Q(pk=rule.pk),
        fingerprint=rule.fingerprint,
        signature=rule.signature,
    ).order_by("complexity", "pk")


def relatives(rule: Rule, limit: int) -> list[Rule]:
    """Return rules of the same family, one of each other class, the simplest first."""
    simpler = (
        Rule.objects.shared()
        .filter(fingerprint=OuterRef("fingerprint"), signature=OuterRef("signature"))
        .filter(
            Q(complexity__lt=OuterRef("complexity"))
            | Q(complexity=OuterRef("complexity"), pk__lt=OuterRef("pk"))
        )
    )
    return list(
        Rule.objects.shared()
        .filter(family=rule.family, signature=rule.signature)
        .exclude(fingerprint=rule.fingerprint)
        .filter(~Exists(simpler))
        .order_by("complexity", "pk")[:limit]
    )


def evaluations_of(
    rule: Rule, visible: ExperimentQuerySet, limit: int | None = None
) -> list[Evaluation]:
    """Return what is known of a rule in each context of experiments that may be seen, the latest
    first."""
    found = _seen_of(rule, visible).select_related("context")
    return list(found.order_by("-pk")[:limit])


def evaluations_beside(
    rule: Rule, keys: Iterable[str], limit: int, visible: ExperimentQuerySet
) -> tuple[list[Evaluation], dict[tuple[int, str], Evaluation]]:
    """Return what is known of a rule in each context of experiments that may be seen, the latest
    first, and of other rules in the same contexts by (context, key). One statement."""
    own = _seen_of(rule, visible)
    rules = Rule.objects.filter(signature=rule.signature, key__in=[rule.key, *keys])
    rows = (
        Evaluation.objects.filter(
            context__in=own.order_by("-pk").values("context")[:limit], rule__in=rules
        )
        .select_related("context")
        .annotate(key=F("rule__key"))
        .order_by("-pk")
    )
    found = {(evaluation.context_id, evaluation.key): evaluation for evaluation in rows}
    return [item for item in found.values() if item.rule_id == rule.pk], found


def _seen_of(rule: Rule, visible: ExperimentQuerySet) -> QuerySet[Evaluation]:
    may_see = Q(context__shared_at__isnull=False) | Q(
        context__in=visible.filter(context__isnull=False).order_by().values("context")
    )
    return Evaluation.objects.filter(may_see, rule=rule, context__purpose=ContextPurpose.EVOLUTION)


def experiments_in(
    context_ids: Iterable[int], visible: ExperimentQuerySet
) -> dict[int, list[tuple[int, str]]]:
    """Return (id, name) of the visible experiments in each context, the latest first."""
    found: dict[int, list[tuple[int, str]]] = {}
    rows = (
        visible.filter(context_id__in=list(context_ids))
        .newest_first()
        .values_list("context_id", "pk", "name")
    )
    for context_id, pk, name in rows:
        found.setdefault(context_id, []).append((pk, name))
    return found
