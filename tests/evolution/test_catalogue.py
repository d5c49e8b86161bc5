"""The catalogue against plain Python over all rows, and Pareto fronts against brute force."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolution import catalogue, discoveries, fronts
from evolution.catalogue import Criteria
from evolution.models import Evaluation, EvaluationContext, Experiment, Individual, Rule
from evolution.models.rule import signature_text
from evolution.services import evaluations
from nest_build.rules import RuleSyntaxError
from simulations.learning_tasks import get_learning_task
from tests.evolution.conftest import launch, work_until_idle
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from evolution.catalogue import Context, RuleClass

pytestmark = pytest.mark.django_db


@pytest.fixture
def history(make_experiment: Callable[..., Experiment]) -> list[Experiment]:
    found = [make_experiment(seed=seed, n_runs=2, n_generations=14) for seed in (10, 60)]
    for experiment in found:
        launch(experiment)
    work_until_idle()
    found[0].refresh_from_db()
    add_other_forms(found[0])
    return found


def add_other_forms(experiment: Experiment) -> None:
    """Let a run have found more forms of rules that are known, and multiples of them."""
    signature = experiment.learning_task.signature
    texts = (
        "s*v - s*u",
        "s*v + s*(0 - u)",
        "2*s*v - 2*s*u",
        "v*v - v*u + v*u",
        "3*u",
        "u*u/u + 2*u",
    )
    rules = [evaluations.canonical_rule(signature, (text,)) for text in texts]
    ids = evaluations.get_or_create_rules(signature, rules)
    run = experiment.runs.get(index=0)
    for number, rule in enumerate(rules):
        trials = [-1.0 - number, -2.0, -3.0]
        Evaluation.objects.get_or_create(
            context=experiment.context,
            rule_id=ids[rule.key],
            defaults={
                "trials": trials,
                "n_trials_done": 3,
                "score": mean(trials),
                "complexity": rule.complexity,
            },
        )
        Individual.objects.create(
            run=run,
            index=10_000 + number,
            birth_generation=20,
            genome=[[]],
            rule_id=ids[rule.key],
            fitness=mean(trials),
        )


@pytest.fixture
def contexts(history: list[Experiment]) -> list[Context]:
    return catalogue.contexts(get_learning_task(NAME), Experiment.objects.all())


def classes() -> dict[str, list[Rule]]:
    """Return all rules by class, in the order in which they were found."""
    found = defaultdict(list)
    for rule in Rule.objects.order_by("pk"):
        found[rule.fingerprint].append(rule)
    return found


def all_pages(criteria: Criteria, limit: int = 7) -> list[RuleClass]:
    found: list[RuleClass] = []
    is_more = True
    while is_more:
        page, is_more = catalogue.rule_classes(
            criteria, offset=len(found), limit=limit, visible=Experiment.objects.all()
        )
        assert len(page) == limit or not is_more
        found += page
    return found


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def expected_in(context: Context) -> dict[str, tuple[Rule, float]]:
    """Return by class its simplest member that was evaluated in all trials, and its fitness."""
    found: dict[str, tuple[Rule, float]] = {}
    fitness = {
        e.rule_id: mean(e.trials)
        for e in Evaluation.objects.filter(context=context.pk)
        if not e.reason and len(e.trials) >= context.n_trials
    }
    for fingerprint, members in classes().items():
        known = [rule for rule in members if rule.pk in fitness]
        if known:
            simplest = min(known, key=lambda rule: (rule.complexity, rule.pk))
            found[fingerprint] = simplest, fitness[simplest.pk]
    return found


def test_contexts_know_their_experiments(history, contexts):
    assert [context.experiments for context in contexts] == [
        ((experiment.pk, experiment.name),) for experiment in reversed(history)
    ]
    assert [context.n_trials for context in contexts] == [3, 3]
    assert catalogue.contexts(get_learning_task("error-driven"), Experiment.objects.all()) == []


@pytest.mark.parametrize("sort", ["newest", "oldest", "simplest"])
def test_the_list_holds_each_class_once_with_its_simplest_member(history, sort):
    found = all_pages(Criteria(sort=sort))
    expected = classes()
    assert len({item.rule.fingerprint for item in found}) == len(found) == len(expected)
    for item in found:
        members = expected[item.rule.fingerprint]
        assert item.rule == min(members, key=lambda rule: (rule.complexity, rule.pk))
        assert item.first_found == members[0]
        assert item.n_forms == len(members)
        individuals = Individual.objects.filter(rule__in=members)
        assert item.n_runs == len({i.run_id for i in individuals})
        assert item.n_experiments == len({i.run.experiment_id for i in individuals})
    if sort == "simplest":
        assert [i.rule.complexity for i in found] == sorted(i.rule.complexity for i in found)
    else:
        first = [item.first_found.pk for item in found]
        assert first == sorted(first, reverse=sort == "newest")
    assert any(item.n_forms > 1 for item in found)
    assert any(item.n_experiments > 1 for item in found)


@pytest.mark.parametrize("sort", catalogue.SORTS)
def test_a_context_lists_what_was_evaluated_in_all_its_trials(contexts, sort):
    context = contexts[0]
    expected = expected_in(context)
    found = all_pages(Criteria(context=context, sort=sort))
    assert {item.rule.fingerprint: item.rule for item in found} == {
        fingerprint: rule for fingerprint, (rule, _) in expected.items()
    }
    for item in found:
        assert item.evaluation.score == pytest.approx(expected[item.rule.fingerprint][1], rel=1e-12)
    order = {
        "fitness": lambda item: -item.evaluation.score,
        "newest": lambda item: -item.rule.pk,
        "oldest": lambda item: item.rule.pk,
        "simplest": lambda item: (item.rule.complexity, -item.evaluation.score),
    }[sort]
    assert [order(item) for item in found] == sorted(order(item) for item in found)


def test_conditions_are_those_of_plain_python(contexts):
    context = contexts[0]
    everything = expected_in(context)
    scores = sorted(fitness for _, fitness in everything.values())
    low, high = scores[len(scores) // 3], scores[-2]
    criteria = Criteria(
        context=context, fitness_min=low, fitness_max=high, complexity_min=3, complexity_max=9
    )
    assert {item.rule for item in all_pages(criteria)} == {
        rule
        for rule, fitness in everything.values()
        if low <= fitness <= high and 3 <= rule.complexity <= 9
    }
    assert all_pages(Criteria(signature="no -> such")) == []
    rule = next(iter(everything.values()))[0]
    (only,) = all_pages(Criteria(fingerprint=rule.fingerprint))
    assert only.rule.fingerprint == rule.fingerprint


def test_the_list_takes_few_statements(contexts, django_assert_max_num_queries):
    for criteria in (Criteria(), Criteria(context=contexts[0], sort="fitness")):
        with django_assert_max_num_queries(6):
            assert catalogue.rule_classes(
                criteria, offset=0, limit=50, visible=Experiment.objects.all()
            )[0]


@pytest.mark.parametrize("text", ["(v - u)*s", "s*v - u*s", "(v-u) / (1/s)", "-s*(u - v)"])
def test_any_form_of_a_rule_finds_it(history, text):
    learning_task = get_learning_task(NAME)
    rule = catalogue.parse_rule(text, learning_task)
    (found,) = all_pages(Criteria(fingerprint=rule.fingerprint))
    assert found.rule.expressions == ["(v - u)*s"]


def test_a_family_is_found_by_any_of_its_members(history):
    learning_task = get_learning_task(NAME)
    rule = catalogue.parse_rule("3.5*(v - u)*s", learning_task)
    found = {item.rule.family for item in all_pages(Criteria(family=rule.family))}
    assert found == {rule.family}
    for one in Rule.objects.filter(family=rule.family)[:5]:
        assert rule.is_positive_multiple_of(one.parsed(learning_task.signature))
        relatives = catalogue.relatives(one, limit=50)
        assert {r.fingerprint for r in relatives} == {
            r.fingerprint for r in Rule.objects.filter(family=rule.family)
        } - {one.fingerprint}


@pytest.mark.parametrize(
    ("task", "text", "column"),
    [
        ("error-driven", "(v - u)*z", 9),
        ("error-driven", "v +", None),
        ("correlation-driven", "w ; E + nothing", 9),
        ("correlation-driven", "wrong; E", 1),
        ("correlation-driven", "w", None),
        ("error-driven", "__import__('os')", 1),
    ],
)
def test_what_is_no_rule_is_refused_with_the_column_in_the_whole_text(task, text, column):
    with pytest.raises(RuleSyntaxError) as caught:
        catalogue.parse_rule(text, get_learning_task(task))
    if column is not None:
        assert caught.value.column == column


def test_discoveries_are_the_first_individuals_of_each_run(history):
    for fingerprint, members in list(classes().items())[:40]:
        first: dict[int, Individual] = {}
        for individual in Individual.objects.filter(rule__in=members).order_by("index"):
            first.setdefault(individual.run_id, individual)
        expected = [
            (i.run.experiment_id, i.run.index + 1, i.index, i.birth_generation, i.fitness)
            for _, i in sorted(first.items(), reverse=True)
        ]
        found, is_more = discoveries.first_in_runs(
            members[-1], offset=0, limit=3, visible=Experiment.objects.all()
        )
        assert [
            (d.experiment_id, d.run_number, d.index, d.generation, d.fitness) for d in found
        ] == expected[:3], fingerprint
        assert is_more == (len(expected) > 3)
        rest, _ = discoveries.first_in_runs(
            members[0], offset=3, limit=3, visible=Experiment.objects.all()
        )
        assert [d.index for d in rest] == [row[2] for row in expected[3:6]]


# --- Pareto fronts ------------------------------------------------------------------------------


def dominates(one: tuple[int, float], other: tuple[int, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] >= other[1]


def brute_force(rows: list[tuple[int, int, float, str]], n_layers: int) -> set[tuple]:
    best: dict[str, tuple] = {}
    for rule_id, complexity, fitness, fingerprint in rows:
        candidate = (complexity, -fitness, rule_id)
        best[fingerprint] = min(best.get(fingerprint, candidate), candidate)
    left = {(rule_id, complexity, -minus) for complexity, minus, rule_id in best.values()}
    found = set()
    for layer in range(n_layers):
        front = {one for one in left if not any(dominates(other[1:], one[1:]) for other in left)}
        found |= {(*one, layer) for one in front}
        left -= front
    return found


@given(
    st.lists(
        st.tuples(
            st.integers(1, 6), st.integers(-4, 4).map(float), st.sampled_from("abcdefghijklmnop")
        ),
        max_size=40,
    ),
    st.integers(1, 4),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_fronts_are_those_of_brute_force(points, n_layers):
    rows = [(number, *point) for number, point in enumerate(points)]
    found = fronts.pareto_fronts(rows, n_layers)
    assert len({point.rule_id for point in found}) == len(found)
    assert {(p.rule_id, p.complexity, p.fitness, p.layer) for p in found} == brute_force(
        rows, n_layers
    )


def test_the_fronts_of_a_history_are_those_of_all_its_rows(contexts, django_assert_max_num_queries):
    for context in contexts:
        rows = [
            (e.rule_id, e.rule.complexity, mean(e.trials), e.rule.fingerprint)
            for e in Evaluation.objects.filter(context=context.pk).select_related("rule")
            if not e.reason and len(e.trials) >= context.n_trials
        ]
        with django_assert_max_num_queries(2):
            fittest = fronts.fittest_by_complexity(context.pk, context.n_trials)
        found = fronts.pareto_fronts(fittest, 3)
        expected = brute_force(rows, 3)
        assert {(p.rule_id, p.complexity, p.layer) for p in found} == {
            (rule_id, complexity, layer) for rule_id, complexity, _, layer in expected
        }
        assert {point.layer for point in found} == {0, 1, 2}
    empty = catalogue.Context(10**6, 1, 1, "", ())
    assert fronts.fittest_by_complexity(empty.pk, empty.n_trials) == []


def test_records_know_score_and_family(history):
    signature = get_learning_task(NAME).signature
    assert EvaluationContext.objects.count() == 2
    for evaluation in Evaluation.objects.select_related("rule"):
        if evaluation.reason or not evaluation.trials:
            assert evaluation.score is None
        else:
            assert evaluation.score == pytest.approx(mean(evaluation.trials), rel=1e-12)
        assert evaluation.complexity == evaluation.rule.complexity
    for rule in Rule.objects.all():
        assert rule.signature == signature_text(signature)
        assert rule.family == rule.parsed(signature).family
