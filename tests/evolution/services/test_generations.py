from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from evolution import events
from evolution.cgp.engine import Engine
from evolution.enums import ExperimentState, Outcome, StopReason
from evolution.models import Evaluation, Experiment, Individual, Run
from evolution.services import control, evaluations, generations, work
from evolution.services.generations import RunInHand, Step, advance
from evolution.services.setups import load_setup
from simulations import learning_tasks
from simulations.evaluation import evaluate_rules
from simulations.learning_tasks import Aggregate, get_learning_task
from tests.evolution import regression_task
from tests.evolution.conftest import CountingCourier, history, launch, work_until_idle
from tests.evolution.regression_task import NAME, RegressionTask

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


def run_to_the_end(experiment: Experiment) -> Experiment:
    launch(experiment)
    work_until_idle()
    experiment.refresh_from_db()
    return experiment


def forget_everything() -> None:
    for experiment in Experiment.objects.all():
        control.delete_experiment(experiment)
    Evaluation.objects.all().delete()


def test_history_is_that_of_the_engine_in_memory(
    make_experiment: Callable[..., Experiment],
) -> None:
    """Without database, batches and cache: the engine and one rule at a time."""
    experiment = run_to_the_end(make_experiment(n_runs=2, n_generations=25))
    learning_task = get_learning_task(NAME)
    parameters = experiment.get_evolution_parameters()
    task_parameters = experiment.get_task_parameters()
    assert experiment.state == ExperimentState.FINISHED
    for run in experiment.runs.all():
        engine = Engine.start(parameters, input_names=("v", "u", "s"), n_branches=1, seed=run.seed)
        rule_of: dict[int | None, list[str]] = {}
        for generation in run.generations.order_by("index"):
            request = engine.ask()
            answers = {}
            for question in request.questions:
                rule = evaluations.canonical_rule(learning_task.signature, question.texts)
                (evaluation,) = evaluate_rules(
                    learning_task, [rule], task_parameters, seed=experiment.seed
                )
                value = evaluation.fitness(learning_task.aggregate)
                answers[question.key] = -math.inf if value is None else value
            selection = engine.tell(answers)
            for candidate in request.born:
                individual = run.individuals.get(index=candidate.index)
                assert individual.genome == [list(alleles) for alleles in candidate.genomes]
                assert individual.mutated_genes == [list(g) for g in candidate.mutated_genes]
                assert individual.parent_index == candidate.parent_index
                assert individual.birth_generation == generation.index
                rule = evaluations.canonical_rule(learning_task.signature, candidate.texts)
                assert individual.rule.expressions == list(rule.texts)
                fitness = selection.fitness[candidate.index]
                assert individual.fitness == (fitness if math.isfinite(fitness) else None)
                is_inherited = candidate.fitness is not None
                assert (individual.outcome == Outcome.INHERITED) == is_inherited
                rule_of[candidate.index] = individual.rule.expressions
                is_neutral = rule_of.get(candidate.parent_index) == individual.rule.expressions
                assert individual.is_neutral == is_neutral
            assert generation.champion.index == selection.champion_index
            assert generation.champion_fitness == selection.champion_fitness
            assert generation.parents == [list(selection.parent_indices)]
        assert run.n_generations_done == 25
        assert run.champion_fitness == selection.champion_fitness
        assert run.engine_state == json.loads(json.dumps(engine.to_state()))
        assert run.stop_reason == StopReason.GENERATIONS


def test_a_generation_takes_few_statements(make_experiment: Callable[..., Experiment]) -> None:
    experiment = make_experiment(n_generations=100, mutation_rate=0.5, n_offspring=8)
    launch(experiment)
    run = experiment.runs.get()
    a_slice = work._Slice(load_setup(experiment.pk), "test", CountingCourier(), 1, None)
    advance(a_slice._setup, run.pk)
    n_new = 0
    for generation in range(20):
        with CaptureQueriesContext(connection) as queries:
            claims = a_slice._claim()
            if claims:
                a_slice._evaluate(claims)
                (run_id,) = a_slice._runs_to_advance(claims)
                assert run_id == run.pk
            assert advance(a_slice._setup, run.pk) in {Step.ASKING, Step.READY}
        statements = [
            query["sql"]
            for query in queries
            if not query["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"))
        ]
        run.refresh_from_db()
        assert run.n_generations_done == generation
        # The first one also looks up the rules of the literature.
        assert len(statements) <= 15 + (generation == 0), "\n".join(statements)
        n_new += len(claims)
    assert n_new > 20


def test_what_a_worker_has_recorded_it_does_not_look_up(
    make_experiment: Callable[..., Experiment],
) -> None:
    options = {"n_generations": 30, "mutation_rate": 0.5}
    reference = history(run_to_the_end(make_experiment(**options)))
    forget_everything()
    experiment = make_experiment(**options)
    launch(experiment)
    run = experiment.runs.get()
    a_slice = work._Slice(load_setup(experiment.pk), "test", CountingCourier(), 1, None)
    a_slice._advance(run.pk, math.inf)
    n_steps = 0
    while claims := a_slice._claim():
        a_slice._evaluate(claims)
        with CaptureQueriesContext(connection) as statements:
            step = advance(a_slice._setup, run.pk, a_slice._in_hand)
        n_looked_up = sum('SELECT "evolution_rule"."key"' in x["sql"] for x in statements)
        # What is new in the next questions, but none of the answers; at first also the rules of the
        # literature.
        assert n_looked_up <= 1 + (n_steps == 0)
        n_steps += 1
        if step is Step.READY:
            a_slice._advance(run.pk, math.inf)
    assert n_steps > 5
    assert history(experiment) == reference


@pytest.fixture
def known(make_experiment: Callable[..., Experiment]) -> Experiment:
    """Give an experiment that is launched and of which another one has found out everything."""
    options = {"n_generations": 60, "mutation_rate": 0.3}
    run_to_the_end(make_experiment(**options))
    experiment = make_experiment(**options)
    launch(experiment)
    return experiment


def test_generations_that_need_no_simulation_share_transactions(
    known: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "WRITE_S", math.inf)
    told: list[int] = []
    monkeypatch.setattr(
        events, "announce_generations", lambda _, rows: told.extend(x["generation"] for x in rows)
    )
    (first, run) = Run.objects.order_by("pk")
    with CaptureQueriesContext(connection) as statements:
        assert advance(load_setup(known.pk), run.pk, deadline=math.inf) is Step.OVER
    tables = [x["sql"].split('"')[1] for x in statements if x["sql"].startswith("INSERT")]
    assert list(dict.fromkeys(tables)) == ["evolution_individual", "evolution_generation"]
    assert tables.count("evolution_generation") == 1
    assert history(known) == history(first.experiment)
    assert told == list(range(61))


def test_generations_that_are_not_written_are_made_again(
    known: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "WRITE_S", math.inf)
    reference = Run.objects.order_by("pk").first().experiment
    run, setup = known.runs.get(), load_setup(known.pk)
    in_hand: dict[int, RunInHand] = {}
    assert advance(setup, run.pk, in_hand) is Step.READY
    for _ in range(5):
        assert in_hand[run.pk].step() is Step.READY
    # A person is faster than the next transaction.
    control.pause_experiment(known)
    n_written = run.generations.count()
    assert advance(setup, run.pk, in_hand) is Step.OVER
    assert run.generations.count() == n_written < 5
    known.refresh_from_db()
    control.resume_experiment(known, courier=CountingCourier())
    work_until_idle()
    assert history(known) == history(reference)


def test_a_run_ends_when_its_target_is_reached(make_experiment: Callable[..., Experiment]) -> None:
    experiment = run_to_the_end(make_experiment(n_generations=500, target_fitness=-1.5))
    run = experiment.runs.get()
    assert run.stop_reason == StopReason.TARGET
    fitness = list(run.generations.order_by("index").values_list("champion_fitness", flat=True))
    assert fitness[-1] >= -1.5 > max(fitness[:-1])


def test_improvements_are_marked(make_experiment: Callable[..., Experiment]) -> None:
    experiment = run_to_the_end(make_experiment(n_generations=60))
    best = -math.inf
    for fitness, is_improvement in (
        experiment.runs.get()
        .generations.order_by("index")
        .values_list("champion_fitness", "is_improvement")
    ):
        assert is_improvement == (fitness > best)
        best = max(best, fitness)


def test_two_runs_evaluate_a_rule_once(make_experiment: Callable[..., Experiment]) -> None:
    first = run_to_the_end(make_experiment(seed=3))
    n_evaluations = Evaluation.objects.count()
    second = run_to_the_end(make_experiment(seed=3))
    assert Evaluation.objects.count() == n_evaluations
    assert history(second) == history(first)
    for generation in second.runs.get().generations.all():
        assert generation.n_cached == generation.n_evaluations


def test_other_trials_do_not_disturb_what_is_cached(
    make_experiment: Callable[..., Experiment],
) -> None:
    few = history(run_to_the_end(make_experiment(seed=3, n_trials=2)))
    many = history(run_to_the_end(make_experiment(seed=3, n_trials=5)))
    forget_everything()
    assert history(run_to_the_end(make_experiment(seed=3, n_trials=5))) == many
    assert history(run_to_the_end(make_experiment(seed=3, n_trials=2))) == few


def test_rules_that_fail_are_kept_with_their_reason(
    make_experiment: Callable[..., Experiment],
) -> None:
    run_to_the_end(make_experiment(n_generations=40, mutation_rate=0.4))
    failed = Individual.objects.filter(fitness=None).select_related("evaluation", "rule")
    assert failed.exists()
    for individual in failed:
        assert individual.evaluation.reason == individual.outcome == "not finite"
        assert individual.rule is not None


def test_a_rule_beyond_the_limits_has_no_record_and_no_fitness(
    make_experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Genomes of this size hardly ever reach the real limit.
    monkeypatch.setattr("evolution.cgp.phenotype.MAX_LENGTH", 12)
    experiment = run_to_the_end(make_experiment(n_generations=30, mutation_rate=0.3))
    assert experiment.state == ExperimentState.FINISHED
    beyond = Individual.objects.filter(rule=None)
    assert beyond.exists()
    assert set(beyond.values_list("evaluation", "fitness", "outcome")) == {(None, None, "invalid")}


def test_a_run_goes_on_after_the_software_was_changed(
    make_experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make_experiment(n_generations=3)
    launch(experiment)
    assert advance(load_setup(experiment.pk), experiment.runs.get().pk) is Step.ASKING
    before = load_setup(experiment.pk).context
    monkeypatch.setattr(evaluations, "engine_version", lambda: "another version")
    work_until_idle()
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.FINISHED
    assert experiment.context != before
    versions = Individual.objects.values_list("evaluation__context__engine_version", flat=True)
    assert set(versions) == {"another version"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_evaluations": 30}, StopReason.EVALUATIONS),
        ({"stagnation_generations": 6}, StopReason.STAGNATION),
        ({"max_wall_time_s": 0.3}, StopReason.WALL_TIME),
        ({"target_fitness": -1.9}, StopReason.TARGET),
    ],
)
def test_stop_criteria(
    make_experiment: Callable[..., Experiment], changes: dict[str, float], reason: StopReason
) -> None:
    reference = run_to_the_end(make_experiment(n_generations=120)).runs.get()
    run = run_to_the_end(make_experiment(n_generations=5000, **changes)).runs.get()
    assert run.stop_reason == reason
    generations = list(run.generations.order_by("index"))
    if reason == StopReason.EVALUATIONS:
        total = sum(generation.n_evaluations for generation in generations)
        assert total - generations[-1].n_evaluations < 30 <= total == run.n_evaluations
    if reason == StopReason.STAGNATION:
        assert not any(generation.is_improvement for generation in generations[-6:])
        assert generations[-7].is_improvement
    if reason == StopReason.TARGET:
        assert generations[-1].champion_fitness >= -1.9 > generations[-2].champion_fitness
    n_common = min(len(generations), 120)
    expected = reference.generations.order_by("index").values_list("champion_fitness", flat=True)
    assert [g.champion_fitness for g in generations[:n_common]] == list(expected[:n_common])


class StrictTask(RegressionTask):
    """The regression, judged by the worst trial."""

    aggregate = Aggregate.MIN


@pytest.fixture
def strict_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(learning_tasks._REGISTRY, regression_task.NAME, f"{__name__}:StrictTask")
    learning_tasks.get_learning_task.cache_clear()


@pytest.mark.usefixtures("strict_task")
def test_pruning_changes_no_history(
    make_experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything but the fitness of those who cannot survive is the same."""
    changes = {"seed": 5, "n_trials": 6, "n_generations": 60, "mutation_rate": 0.3, "n_runs": 2}
    pruned = run_to_the_end(make_experiment(**changes))
    champions = [item["champions"] for item in history(pruned)]
    n_trials_pruned = sum(Evaluation.objects.values_list("n_trials_done", flat=True))
    assert sum(pruned.runs.values_list("n_pruned", flat=True)) > 50
    assert all(pruned.runs.values_list("saved_s", flat=True))
    outcomes = Individual.objects.filter(outcome=Outcome.PRUNED)
    assert set(outcomes.values_list("fitness", flat=True)) == {None}
    forget_everything()
    monkeypatch.setattr("evolution.cgp.generation.PendingGeneration._bound", lambda self: None)
    whole = run_to_the_end(make_experiment(**changes))
    assert not Individual.objects.filter(outcome=Outcome.PRUNED).exists()
    assert [item["champions"] for item in history(whole)] == champions
    assert sum(Evaluation.objects.values_list("n_trials_done", flat=True)) > 1.5 * n_trials_pruned


@pytest.mark.usefixtures("strict_task")
def test_what_others_know_of_a_rule_does_not_show_in_the_history(
    make_experiment: Callable[..., Experiment],
) -> None:
    """Another experiment has simulated trials that this one would have left out."""
    changes = {"seed": 5, "n_trials": 6, "n_generations": 40, "mutation_rate": 0.3}
    reference = history(run_to_the_end(make_experiment(**changes)))
    ids = Individual.objects.values("evaluation")
    learning_task = get_learning_task(NAME)
    for evaluation in Evaluation.objects.filter(pk__in=ids).select_related("rule"):
        rule = evaluation.rule.parsed(learning_task.signature)
        (whole,) = evaluate_rules(
            learning_task,
            [rule],
            learning_task.presets["demo"].task_parameters.with_changes({"n_trials": 6}),
            seed=5,
        )
        assert list(whole.trials[: len(evaluation.trials)]) == evaluation.trials
        Evaluation.objects.filter(pk=evaluation.pk).update(
            trials=list(whole.trials), n_trials_done=len(whole.trials), reason=whole.reason or ""
        )
    assert history(run_to_the_end(make_experiment(**changes))) == reference


@pytest.mark.parametrize(
    "changes",
    [
        {"hurdle_trials": 1, "hurdle_percentile": 0.5},
        {
            "primitives": ("Add", "Sub", "Mul", "Parameter"),
            "local_search_steps": 2,
            "n_local_search": 2,
        },
        {"reorder_genome": True},
        {"seed_rules": ("v*s",)},
        {"constants": (0.5, -2.0)},
    ],
)
def test_every_option_gives_one_history(
    make_experiment: Callable[..., Experiment], changes: dict[str, object]
) -> None:
    options = {"n_generations": 8, "mutation_rate": 0.2, "n_trials": 3, **changes}
    reference = history(run_to_the_end(make_experiment(**options)))
    assert sum(Run.objects.values_list("n_evaluations", flat=True)) > 0
    forget_everything()
    experiment = make_experiment(**options)
    launch(experiment)
    n_slices = 0
    while work.work(worker=f"w{n_slices % 2}", courier=CountingCourier(), n_workers=4, slice_s=0.0):
        n_slices += 1
    assert history(experiment) == reference
    if "hurdle_trials" in changes:
        assert Individual.objects.filter(outcome=Outcome.HURDLE).exists()
        assert Evaluation.objects.filter(n_trials_done=1, reason="").exists()
    if "local_search_steps" in changes:
        refined = Individual.objects.filter(origin="local search")
        assert refined.exists()
        for individual in refined:
            parent = individual.run.individuals.get(index=individual.parent_index)
            assert individual.genome == parent.genome
            assert individual.constants != parent.constants
            assert parent.fitness is None or individual.fitness > parent.fitness
    if "seed_rules" in changes:
        given = Individual.objects.get(origin="given")
        assert given.rule.expressions == ["v*s"]


def test_the_time_of_simulation_is_that_of_the_evaluations_a_run_waited_for(
    make_experiment: Callable[..., Experiment],
) -> None:
    experiment = run_to_the_end(make_experiment(n_generations=20))
    run = experiment.runs.get()
    first_asked = Evaluation.objects.filter(
        pk__in=run.individuals.filter(is_cached=False).values("evaluation")
    )
    seconds = sum(first_asked.values_list("seconds", flat=True))
    assert seconds > 0
    # A rule of the literature is evaluated for the page; who finds it then has it from the cache.
    assert run.simulated_s == pytest.approx(seconds, rel=1e-6)
    again = run_to_the_end(make_experiment(n_generations=20)).runs.get()
    assert again.n_cached == again.n_evaluations
    assert (again.simulated_s, again.n_evaluations) == (0.0, run.n_evaluations)
