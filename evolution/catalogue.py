"""Reads of rules: every class of equivalent rules that was ever found, and how fit they are.

No statement here looks at all individuals. The records of rules know their class (the
fingerprint), family and complexity, those of evaluations the score and complexity; lists are
sorted and filtered by indices of these. What needs individuals, in which runs a class was found,
is asked for the rules of one page only, by an index of (rule, run, index) through which a recursive
statement jumps from run to run: a form that a run has found a thousand times costs one step. A
table of counters would have made each generation dearer to write, and had to be kept right.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Count, Exists, F, Min, OuterRef, Q

from evolution.models import Evaluation, Experiment, Individual, Rule, RuleNote, Run
from nest_build.rules import PlasticityRule, RuleSyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.db.models import QuerySet

    from simulations.learning_tasks import LearningTask

#: Rules of each complexity that a front is made of. The first front is exact; only a complexity
#: with so many forms of the same few fittest classes could lack a point of a later one.
_N_FITTEST = 40
#: Parts of one compound statement, which SQLite allows 500 of.
_MAX_COMPLEXITIES = 200
#: Separates the branches of a rule in a text.
SEPARATOR = ";"

#: Forms that are looked at to say where the classes of a page, or a single one, were found.
_N_FORMS_OF_MANY, N_FORMS_OF_ONE = 24, 300

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
        return self.n_forms > _N_FORMS_OF_MANY


@dataclass(frozen=True)
class Discovery:
    """The first individual of a run with a rule of a class."""

    experiment_id: int
    experiment_name: str
    run_number: int
    index: int
    generation: int
    fitness: float | None


@dataclass(frozen=True)
class FrontPoint:
    """A class of rules in the plane of complexity and fitness; ``layer`` 0 is the Pareto front."""

    rule_id: int
    complexity: int
    fitness: float
    layer: int = field(default=0)


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


def contexts(learning_task: LearningTask) -> list[Context]:
    """Return the contexts of a learning task's experiments, the latest experiment's first."""
    rows = (
        Experiment.objects.filter(learning_task_name=learning_task.name, context__isnull=False)
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


def rule_classes(criteria: Criteria, *, offset: int, limit: int) -> tuple[list[RuleClass], bool]:
    """Return a page of classes, and whether there are more.

    Five statements. How many classes there are in all would take a look at all rules.
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
    counts = found_counts({item.rule.fingerprint for item in classes}, n_forms=_N_FORMS_OF_MANY)
    for item in classes:
        item.n_runs, item.n_experiments = counts.get(_class_of(item.rule), (0, 0))
    return classes, is_more


def _evaluated(criteria: Criteria) -> QuerySet[Evaluation]:
    """Return the evaluations in the context of the simplest member of each class."""
    complete = Evaluation.objects.filter(
        context_id=criteria.context.pk,
        score__isnull=False,
        n_trials_done__gte=criteria.context.n_trials,
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
    same = Rule.objects.filter(fingerprint=OuterRef("fingerprint"), signature=OuterRef("signature"))
    if criteria.sort == "simplest":
        order = ("complexity", "pk")
        better = same.filter(
            Q(complexity__lt=OuterRef("complexity"))
            | Q(complexity=OuterRef("complexity"), pk__lt=OuterRef("pk"))
        )
    else:
        order = ("pk",) if criteria.sort == "oldest" else ("-pk",)
        better = same.filter(pk__lt=OuterRef("pk"))
    found = Rule.objects.filter(~Exists(better), *_conditions(criteria))
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
    members = Rule.objects.filter(fingerprint__in=fingerprints)
    figures = {
        (signature, fingerprint): (n_forms, first)
        for signature, fingerprint, n_forms, first in members.values_list(
            "signature", "fingerprint"
        ).annotate(Count("pk"), Min("pk"))
    }
    simplest: dict[tuple[str, str], int] = {}
    if not keep_rule:
        least = members.filter(
            complexity=(
                Rule.objects.filter(
                    fingerprint=OuterRef("fingerprint"), signature=OuterRef("signature")
                )
                .order_by("complexity")
                .values("complexity")[:1]
            )
        )
        for signature, fingerprint, pk in least.values_list("signature", "fingerprint").annotate(
            Min("pk")
        ):
            simplest[signature, fingerprint] = pk
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
    evaluations = Evaluation.objects.filter(rule_id__in=[item.rule.pk for item in classes])
    for evaluation in evaluations.select_related("context").defer("detail").order_by("pk"):
        latest[evaluation.rule_id] = evaluation
    for item in classes:
        item.evaluation = latest.get(item.rule.pk)


# --- where rules were found ---------------------------------------------------------------------


def _pairs(condition: str) -> str:
    """Return the part of a statement that names each (rule, run) in which a rule was found.

    Of each class the simplest forms are looked at: neutral drift makes thousands of others, and
    their runs are mostly the same. The parameters after those of the condition are their number,
    and their number in all classes together, which nothing needs but PostgreSQL's planner: it
    would take so many rows for granted that it compiled the statement for half a second.
    """
    name = connection.ops.quote_name
    individual, rule = name(Individual._meta.db_table), name(Rule._meta.db_table)
    return f"""
        WITH RECURSIVE pair (rule_id, signature, fingerprint, run_id) AS (
            SELECT f.id, f.signature, f.fingerprint,
                   (SELECT MIN(i.run_id) FROM {individual} i WHERE i.rule_id = f.id)
            FROM (
                SELECT * FROM (
                    SELECT r.id, r.signature, r.fingerprint, ROW_NUMBER() OVER (
                        PARTITION BY r.fingerprint, r.signature ORDER BY r.complexity, r.id
                    ) AS place
                    FROM {rule} r WHERE {condition}
                ) AS member WHERE place <= %s LIMIT %s
            ) AS f
            UNION ALL
            SELECT p.rule_id, p.signature, p.fingerprint,
                   (SELECT MIN(i.run_id) FROM {individual} i
                    WHERE i.rule_id = p.rule_id AND i.run_id > p.run_id)
            FROM pair p WHERE p.run_id IS NOT NULL
        )
    """  # noqa: S608


def found_counts(
    fingerprints: Iterable[str], *, n_forms: int
) -> dict[tuple[str, str], tuple[int, int]]:
    """Return by (signature, fingerprint) in how many runs and experiments a class was found.

    Parameters
    ----------
    n_forms : int
        How many forms of each class are looked at; with more the numbers are lower bounds.
    """
    values = sorted(set(fingerprints))
    if not values:
        return {}
    name = connection.ops.quote_name
    marks = ", ".join(["%s"] * len(values))
    statement = f"""{_pairs(f"r.fingerprint IN ({marks})")}
        SELECT p.signature, p.fingerprint, COUNT(DISTINCT p.run_id),
               COUNT(DISTINCT run.experiment_id)
        FROM pair p
        JOIN {name(Run._meta.db_table)} run ON run.id = p.run_id
        GROUP BY p.signature, p.fingerprint
    """  # noqa: S608
    with connection.cursor() as cursor:
        # A fingerprint may belong to rules of two signatures.
        cursor.execute(statement, [*values, n_forms, 2 * n_forms * len(values)])
        return {(row[0], row[1]): (row[2], row[3]) for row in cursor.fetchall()}


def discoveries(rule: Rule, *, offset: int, limit: int) -> tuple[list[Discovery], bool]:
    """Return the first individual of each run with a rule of this one's class, and if more follow.

    The latest runs come first.
    """
    name = connection.ops.quote_name
    individual = name(Individual._meta.db_table)
    statement = f"""{_pairs("r.fingerprint = %s AND r.signature = %s")},
        first (run_id, number) AS (
            SELECT p.run_id, MIN((SELECT MIN(i."index") FROM {individual} i
                                  WHERE i.rule_id = p.rule_id AND i.run_id = p.run_id))
            FROM pair p WHERE p.run_id IS NOT NULL
            GROUP BY p.run_id ORDER BY p.run_id DESC LIMIT %s OFFSET %s
        )
        SELECT e.id, e.name, run."index", i."index", i.birth_generation, i.fitness
        FROM first
        JOIN {individual} i ON i.run_id = first.run_id AND i."index" = first.number
        JOIN {name(Run._meta.db_table)} run ON run.id = first.run_id
        JOIN {name(Experiment._meta.db_table)} e ON e.id = run.experiment_id
        ORDER BY run.id DESC
    """  # noqa: S608
    with connection.cursor() as cursor:
        n_forms = N_FORMS_OF_ONE
        cursor.execute(
            statement, [rule.fingerprint, rule.signature, n_forms, n_forms, limit + 1, offset]
        )
        rows = cursor.fetchall()
    found = [
        Discovery(experiment_id, title, run_index + 1, index, generation, fitness)
        for experiment_id, title, run_index, index, generation, fitness in rows[:limit]
    ]
    return found, len(rows) > limit


def rule_with_notes(pk: int) -> tuple[Rule, list[dict[str, Any]]] | None:
    """Return a rule and what people note about it, in one statement; None if there is none."""
    names = {"author": "author__username", "author_id": "author_id", "name": "name", "text": "text"}
    joined = {f"note_{name}": F(f"notes__{path}") for name, path in names.items()}
    rows = list(Rule.objects.filter(pk=pk).annotate(**joined).order_by("notes__pk"))
    if not rows:
        return None
    notes = [{name: getattr(row, f"note_{name}") for name in names} for row in rows]
    return rows[0], [note for note in notes if note["author_id"] is not None]


def names_of_rules(signature: str, fingerprints: Iterable[str]) -> dict[str, list[str]]:
    """Return the names that people gave any form of some classes of rules, by fingerprint."""
    named = RuleNote.objects.filter(
        rule__signature=signature, rule__fingerprint__in=list(fingerprints)
    )
    found: dict[str, list[str]] = {}
    for fingerprint, name in named.order_by("pk").values_list("rule__fingerprint", "name"):
        names = found.setdefault(fingerprint, [])
        if name not in names:
            names.append(name)
    return found


def forms(rule: Rule) -> QuerySet[Rule]:
    """Return all members of a rule's class, the simplest first."""
    return Rule.objects.filter(fingerprint=rule.fingerprint, signature=rule.signature).order_by(
        "complexity", "pk"
    )


def relatives(rule: Rule, limit: int) -> list[Rule]:
    """Return rules of the same family, one of each other class, the simplest first."""
    simpler = Rule.objects.filter(
        fingerprint=OuterRef("fingerprint"), signature=OuterRef("signature")
    ).filter(
        Q(complexity__lt=OuterRef("complexity"))
        | Q(complexity=OuterRef("complexity"), pk__lt=OuterRef("pk"))
    )
    return list(
        Rule.objects.filter(family=rule.family, signature=rule.signature)
        .exclude(fingerprint=rule.fingerprint)
        .filter(~Exists(simpler))
        .order_by("complexity", "pk")[:limit]
    )


def evaluations_of(rule: Rule, limit: int) -> list[Evaluation]:
    """Return what is known of a rule in each context, the latest first."""
    return list(
        Evaluation.objects.filter(rule=rule).select_related("context").order_by("-pk")[:limit]
    )


def evaluations_in(
    context_ids: Iterable[int], signature: str, keys: Iterable[str]
) -> dict[tuple[int, str], Evaluation]:
    """Return evaluations of other rules in some contexts by (context, key)."""
    found = Evaluation.objects.filter(
        context_id__in=list(context_ids),
        rule__in=Rule.objects.filter(signature=signature, key__in=list(keys)),
    ).annotate(key=F("rule__key"))
    return {(evaluation.context_id, evaluation.key): evaluation for evaluation in found}


def experiments_in(context_ids: Iterable[int]) -> dict[int, list[tuple[int, str]]]:
    """Return (id, name) of the experiments in each context, the latest first."""
    found: dict[int, list[tuple[int, str]]] = {}
    rows = (
        Experiment.objects.filter(context_id__in=list(context_ids))
        .newest_first()
        .values_list("context_id", "pk", "name")
    )
    for context_id, pk, name in rows:
        found.setdefault(context_id, []).append((pk, name))
    return found


# --- complexity against fitness -----------------------------------------------------------------


def fittest_by_complexity(context: Context) -> list[tuple[int, int, float, str]]:
    """Return (rule, complexity, score, fingerprint) of the fittest rules of each complexity.

    Two statements: which complexities there are, and one seek in the index for each.
    """
    complexities = list(
        Evaluation.objects.filter(context_id=context.pk)
        .order_by("complexity")
        .values_list("complexity", flat=True)
        .distinct()[:_MAX_COMPLEXITIES]
    )
    if not complexities:
        return []
    name = connection.ops.quote_name
    part = f"""
        SELECT * FROM (
            SELECT rule_id, complexity, score FROM {name(Evaluation._meta.db_table)}
            WHERE context_id = %s AND complexity = %s AND score IS NOT NULL
            AND n_trials_done >= %s ORDER BY score DESC LIMIT %s
        ) AS fittest
    """  # noqa: S608
    statement = f"""
        SELECT part.rule_id, part.complexity, part.score, r.fingerprint
        FROM ({" UNION ALL ".join([part] * len(complexities))}) AS part
        JOIN {name(Rule._meta.db_table)} r ON r.id = part.rule_id
    """  # noqa: S608
    values: list[Any] = []
    for complexity in complexities:
        values += [context.pk, complexity, context.n_trials, _N_FITTEST]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [tuple(row) for row in cursor.fetchall()]


def pareto_fronts(rows: Iterable[tuple[int, int, float, str]], n_layers: int) -> list[FrontPoint]:
    """Return the non-dominated classes of rules, then those without these, and so on.

    A class counts with its simplest member. It is dominated by one that is not more complex
    and not less fit, and better in one of both.

    Parameters
    ----------
    rows : iterable of (int, int, float, str)
        Rule, complexity, fitness and fingerprint.
    n_layers : int
        How many fronts.
    """
    simplest: dict[str, tuple[int, float, int]] = {}
    for rule_id, complexity, fitness, fingerprint in rows:
        known = simplest.get(fingerprint)
        if known is None or (complexity, -fitness, rule_id) < (known[0], -known[1], known[2]):
            simplest[fingerprint] = (complexity, fitness, rule_id)
    left = sorted(simplest.values(), key=lambda item: (item[0], -item[1], item[2]))
    points: list[FrontPoint] = []
    for layer in range(n_layers):
        dominated = []
        best, best_complexity = float("-inf"), -1
        for complexity, fitness, rule_id in left:
            if fitness > best or (fitness == best and complexity == best_complexity):
                best, best_complexity = fitness, complexity
                points.append(FrontPoint(rule_id, complexity, fitness, layer))
            else:
                dominated.append((complexity, fitness, rule_id))
        left = dominated
    return points
