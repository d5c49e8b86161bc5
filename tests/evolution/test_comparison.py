"""Comparisons: what is compared, by which numbers, and that the pages take anything."""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.urls import reverse
from django.utils import timezone

from evolution import comparison, comparison_fronts
from evolution.comparison_plots.generations import stepped
from evolution.enums import Action, ExperimentState
from evolution.errors import ComparisonError
from evolution.fronts import pareto_fronts
from evolution.models import Evaluation, Experiment, Generation, LogEntry, Run
from evolution.statistics import SteppedCurve, Target
from simulations.learning_tasks import get_learning_task
from tests.evolution.conftest import launch, work_until_idle
from tests.evolution.histories import add_generations, add_typical_history, finish, make_experiment

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.test import Client

pytestmark = pytest.mark.django_db

MAX_QUERIES = 12
MAX_BYTES = 300_000
FIGURES = ("fitness", "finals", "times", "fronts", "parameters")


@pytest.fixture
def ann(client, django_user_model) -> Client:
    client.force_login(django_user_model.objects.create_user("ann"))
    return client


@pytest.fixture
def pair() -> list[Experiment]:
    """Make two experiments of which the first ends fitter and earlier."""
    made = []
    for name, best, n_each in (("Fast <b>", -11.5, 3), ("Slow", -44.125, 9)):
        experiment = make_experiment(name=name, n_runs=5)
        for run in experiment.runs.order_by("index"):
            add_generations(run, [("u*s", -800.0 - run.index)] * n_each)
            add_generations(run, [("(v - u)*s", best - run.index)] * 4)
        finish(experiment)
        made.append(experiment)
    Experiment.objects.filter(pk=made[1].pk).update(
        evolution_parameters={**made[1].evolution_parameters, "mutation_rate": 0.25}
    )
    return made


def address(*experiments: Experiment, name: str = "", **more: object) -> str:
    path = reverse("evolution:compare-figure", args=[name]) if name else "/compare/"
    chosen = "&".join(f"experiment={experiment.pk}" for experiment in experiments)
    return f"{path}?{chosen}" + "".join(f"&{key}={value}" for key, value in more.items())


def text_of(response: HttpResponse) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", html.unescape(text))


# --- what is compared ---------------------------------------------------------------------------


def test_groups_come_in_the_order_in_which_they_were_named(pair):
    fast, slow = pair
    groups = comparison.groups_of([slow.pk, fast.pk], [], Experiment.objects.all())
    assert [group.label for group in groups] == ["A · Slow", "B · Fast <b>"]
    assert [len(group.runs) for group in groups] == [5, 5]
    assert groups[1].final_fitness == [-11.5, -12.5, -13.5, -14.5, -15.5]


def test_of_an_experiment_with_single_runs_only_these_count(pair):
    fast, slow = pair
    (group, other) = comparison.groups_of(
        [fast.pk], [(slow.pk, 2), (fast.pk, 4), (fast.pk, 1)], Experiment.objects.all()
    )
    assert [run.number for run in group.runs] == [1, 4]
    assert group.label == "A · Fast <b>, runs 1, 4"
    assert other.label == "B · Slow, run 2"
    assert group.other_runs == [2, 3, 5]


def test_what_does_not_exist_is_named(pair):
    with pytest.raises(ComparisonError, match=r"There is no experiment 999\."):
        comparison.groups_of([pair[0].pk, 999], [], Experiment.objects.all())
    with pytest.raises(ComparisonError, match=r"“Slow” has no run 6\."):
        comparison.groups_of([], [(pair[1].pk, 6)], Experiment.objects.all())


def test_keys_go_on_behind_z():
    keys = [comparison.Group(place, None, []).key for place in (0, 25, 26, 51, 52, 99)]
    assert keys == ["A", "Z", "AA", "AZ", "BA", "CV"]


def test_only_parameters_that_differ_are_listed_with_their_units(pair):
    Experiment.objects.filter(pk=pair[0].pk).update(
        task_parameters={**pair[0].task_parameters, "t_sim_ms": 99.0}, seed=77
    )
    groups = comparison.groups_of([item.pk for item in pair], [], Experiment.objects.all())
    found = {item.label: item for item in comparison.differing_parameters(groups)}
    assert set(found) == {"mutation rate", "t sim", "seed"}
    before = pair[0].evolution_parameters["mutation_rate"]
    assert found["mutation rate"].values == (before, 0.25)
    assert found["t sim"].unit == "ms"
    assert found["t sim"].values[0] == 99.0
    assert comparison.differing_parameters(groups[:1]) == []


# --- times --------------------------------------------------------------------------------------


def with_target(experiments: list[Experiment], fitness: float) -> list[comparison.Group]:
    groups = comparison.groups_of(
        [experiment.pk for experiment in experiments], [], Experiment.objects.all()
    )
    comparison.add_targets(groups, get_learning_task("error-driven"), fitness)
    return groups


def test_times_are_those_of_the_first_champion_that_is_fit_enough(pair):
    groups = with_target(pair, -13.0)
    fast, slow = comparison.times_to_target(groups, "generations")
    assert fast.reached == (3, 3)
    assert fast.censored == (6, 6, 6)
    assert slow.reached == ()
    assert slow.censored == (12,) * 5


def test_evaluations_are_added_up_to_the_generation_of_the_target(pair):
    groups = with_target(pair, -13.0)
    for run in Run.objects.filter(experiment=pair[0]):
        Run.objects.filter(pk=run.pk).update(n_evaluations=100 + run.index)
        for generation in run.generations.all():
            Generation.objects.filter(pk=generation.pk).update(n_evaluations=generation.index + 1)
    groups = with_target(pair, -13.0)
    fast, _ = comparison.times_to_target(groups, "evaluations")
    assert fast.reached == (1 + 2 + 3 + 4,) * 2
    assert fast.censored == (102, 103, 104)


def test_seconds_do_not_count_pauses(pair):
    start = timezone.now() - timedelta(hours=1)
    Run.objects.filter(experiment=pair[0]).update(
        started_at=start, finished_at=start + timedelta(seconds=500)
    )
    Generation.objects.filter(run__experiment=pair[0]).update(
        created_at=start + timedelta(seconds=100)
    )
    for action, second in ((Action.PAUSED, 20), (Action.RESUMED, 50)):
        LogEntry.objects.create(
            experiment=pair[0], action=action, created_at=start + timedelta(seconds=second)
        )
    fast, slow = comparison.times_to_target(with_target(pair, -13.0), "seconds")
    assert fast.reached == pytest.approx((70, 70))
    assert fast.censored == pytest.approx((470, 470, 470))
    assert slow.n_runs == 0  # nobody knows when they started


def test_without_a_target_of_ones_own_the_best_known_rule_is_it(make_experiment):
    from tests.evolution.regression_task import NAME

    experiment = make_experiment(n_runs=2, n_generations=6)
    launch(experiment)
    work_until_idle()
    groups = comparison.groups_of([experiment.pk], [], Experiment.objects.all())
    task = get_learning_task(NAME)
    comparison.add_targets(groups, task, None)
    known = groups[0].target
    wanted = experiment.evolution_parameters.get("target_fitness")
    assert (known is None) or known.is_baseline or known.fitness == wanted
    comparison.add_targets(groups, task, -0.5)
    assert groups[0].target == Target(-0.5, is_baseline=False)


# --- curves and fronts --------------------------------------------------------------------------


def test_a_long_curve_keeps_its_ends_and_its_largest_steps():
    random = np.random.default_rng(5)
    fitness = -np.exp(np.sort(random.normal(0, 3, 400))[::-1])
    curve = SteppedCurve([(3 * i, float(f)) for i, f in enumerate(fitness)], 1500, True)
    corners = stepped(curve, is_log=True, most=40)
    assert len(corners) == 80
    assert corners[0] == (0, -fitness[0])
    assert corners[-1] == (1500, -fitness[-1])
    kept = {generation for generation, _ in corners}
    jumps = np.abs(np.diff(np.log(-fitness)))
    for i in np.argsort(jumps)[-38:]:
        assert 3 * (i + 1) in kept or i + 1 == len(fitness) - 1
    whole = stepped(curve, is_log=True, most=400)
    assert len(whole) == 800


def test_the_front_is_that_of_what_the_runs_have_found(make_experiment):
    first = make_experiment(n_runs=2, n_generations=9)
    second = make_experiment(n_runs=1, n_generations=9, seed=10, mutation_rate=0.3)
    for experiment in (first, second):
        launch(experiment)
        work_until_idle()
        experiment.refresh_from_db()
    assert first.context_id == second.context_id
    groups = comparison.groups_of([first.pk, second.pk], [], Experiment.objects.all())
    for group, front in zip(groups, comparison_fronts.fronts(groups), strict=True):
        n_trials = group.experiment.task_parameters["n_trials"]
        rows = Evaluation.objects.filter(
            context=group.experiment.context_id,
            score__isnull=False,
            n_trials_done__gte=n_trials,
            rule__individuals__run__in=group.runs,
        ).distinct()
        # Each rule a class of its own: the front of forms, which is that of classes as well.
        expected = pareto_fronts([(r.rule_id, r.complexity, r.score, str(r.pk)) for r in rows], 1)
        assert [(p.complexity, p.fitness) for p in front] == sorted(
            {(p.complexity, p.fitness) for p in expected}
        )
        assert front


# --- pages --------------------------------------------------------------------------------------


def test_pages_and_figures_work_in_few_statements(ann, pair, django_assert_max_num_queries):
    for clock in ("generations", "evaluations", "seconds"):
        for view in ("band", "curves"):
            more = {"clock": clock, "view": view, "target": -13}
            for name in ("", *FIGURES):
                with django_assert_max_num_queries(MAX_QUERIES):
                    response = ann.get(address(*pair, name=name, **more))
                assert response.status_code == 200, name
    markup = ann.get(address(*pair)).content.decode()
    assert "<b>" not in markup.replace("&lt;b&gt;", "")
    assert markup.count("<h1") == 1
    assert " style=" not in markup
    assert "<script>" not in markup


def test_the_page_says_what_the_tests_mean(ann, pair):
    text = text_of(ann.get(address(*pair, target=-13)))
    # All five of the one end fitter than all five of the other: p = 2 / (10 over 5).
    assert "Runs of A end fitter than those of B: of two runs drawn at random, that of A" in text
    assert "is the fitter one in 100 % of cases" in text
    assert "p value 0.0079" in text
    assert "Runs at the target: A: 2 of 5; B: 0 of 5." in text
    assert "the champion of 5 of 5 runs means the same" in text
    assert "mutation rate" in text


def test_too_few_seeds_are_named(ann, pair):
    fast, slow = pair
    text = text_of(
        ann.get(f"/compare/?run={fast.pk}-1&run={fast.pk}-2&run={slow.pk}-1&run={slow.pk}-2")
    )
    assert "Too few seeds: with 2 and 2 runs even complete separation would give p = 0.33." in text


def test_the_address_holds_the_whole_view(ann, pair):
    markup = ann.get(
        address(*pair, view="curves", scale="linear", clock="seconds")
    ).content.decode()
    figure = re.search(r'data-figure-url="(/compare/fitness\.json[^"]*)"', markup)[1]
    assert "view=curves&amp;scale=linear&amp;clock=seconds" in figure
    assert re.search(r'view=band[^"]*#heading-fitness" >Median', markup)
    item = ann.get(html.unescape(figure)).content.decode()
    assert '"minus the error (mV)"' in item


def test_different_learning_tasks_are_not_drawn(ann, pair, make_experiment):
    other = make_experiment()
    response = ann.get(address(pair[0], other))
    text = text_of(response)
    assert response.status_code == 200
    assert "different learning tasks" in text
    assert "data-figure-url" not in response.content.decode()
    assert "Error-driven learning" in text  # it is among the parameters that differ
    for name in FIGURES:
        response = ann.get(address(pair[0], other, name=name))
        assert response.status_code == 400
        assert "cannot be compared" in response.json()["error"]


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("experiment=999999", 404, "There is no experiment 999999."),
        (f"experiment={10**17}", 404, f"There is no experiment {10**17}."),
        (f"experiment={10**17}&experiment=1x", 400, "“1x” is not the number of an experiment."),
        ("experiment=", 400, "“” is not the number of an experiment."),
        ("run=3", 400, "write 12-3 for run 3 of experiment 12"),
        ("run=<script>", 400, "“<script>” does not name a run"),
        ("view=pie", 400, "View: Select a valid choice."),
        ("scale=cubic", 400, "Scale: Select a valid choice."),
        ("target=much", 400, "Target fitness: Enter a number."),
        ("target=nan", 400, "Target fitness: Enter a number."),
        ("&".join(f"experiment={n}" for n in range(1, 102)), 400, "at most 100 runs"),
    ],
)
def test_bad_addresses_are_explained(ann, query, status, message):
    response = ann.get(f"/compare/?{query}")
    assert response.status_code == status
    assert message in text_of(response)
    figure = ann.get(f"/compare/fitness.json?{query}")
    assert figure.status_code == status
    assert message in figure.json()["error"]


def test_more_runs_than_can_be_compared_are_refused(ann):
    many = make_experiment(n_runs=60), make_experiment(n_runs=41)
    response = ann.get(address(*many))
    assert response.status_code == 400
    assert "These are 101 runs, and at most 100 runs can be compared." in text_of(response)
    assert ann.get(address(many[0])).status_code == 200


def test_nothing_chosen_offers_the_latest_experiments(ann, pair):
    text = text_of(ann.get("/compare/"))
    assert "Choose experiments" in text
    assert "Fast <b>" in text
    assert "Slow" not in text_of(ann.get("/compare/?q=fast"))
    assert ann.get("/compare/pie.json").status_code == 404


def test_strangers_and_other_methods_are_refused(client, ann, pair):
    for name in ("", *FIGURES):
        assert ann.post(address(*pair, name=name)).status_code == 405
    client.logout()
    for name in ("", *FIGURES):
        assert client.get(address(*pair, name=name)).status_code == 302


def test_runs_without_a_fitness_do_not_break_it(ann):
    created = make_experiment(running=False)
    failed = make_experiment(n_runs=2)
    add_generations(failed.runs.get(index=0), [("u", None)])
    finish(failed, ExperimentState.FAILED)
    for name in ("", *FIGURES):
        for view in ("band", "curves"):
            response = ann.get(address(created, failed, name=name, view=view))
            assert response.status_code == 200


def test_the_list_leads_to_the_comparison(ann, pair):
    response = ann.post(
        "/experiments/bulk/",
        {"action": "compare", "experiment": [item.pk for item in pair], "query": ""},
    )
    assert response.status_code == 302
    assert response.url == address(*pair)
    assert (
        f'href="/compare/?experiment={pair[0].pk}"'
        in ann.get(pair[0].get_absolute_url()).content.decode()
    )


def test_figures_of_a_hundred_long_runs_are_small(ann):
    chosen = [make_experiment(n_runs=25, n_generations=2000) for _ in range(4)]
    random = np.random.default_rng(6)
    for experiment in chosen:
        add_typical_history(experiment.runs.first(), n_each=1)
        champion = experiment.runs.first().champion
        for run in experiment.runs.all():
            fitness = -np.exp(np.sort(random.normal(0, 3, 60))[::-1])
            Generation.objects.filter(run=run).delete()
            Generation.objects.bulk_create(
                Generation(
                    run=run,
                    index=30 * i,
                    champion_fitness=float(f),
                    is_improvement=True,
                    created_at=timezone.now(),
                )
                for i, f in enumerate(fitness)
            )
            Run.objects.filter(pk=run.pk).update(
                champion=champion, champion_fitness=float(fitness[-1]), n_generations_done=2000
            )
        finish(experiment)
    for name in FIGURES:
        for view in ("band", "curves"):
            response = ann.get(address(*chosen, name=name, view=view, target=-1))
            assert len(response.content) <= MAX_BYTES, (name, view)
    # A hundred groups of one run each.
    runs = "&".join(f"experiment={make_experiment(n_runs=1).pk}" for _ in range(100))
    assert len(ann.get(f"/compare/fitness.json?{runs}").content) <= MAX_BYTES


def test_curves_hold_exactly_the_history(ann, pair):
    item = ann.get(address(pair[0], name="fitness", view="curves", scale="linear")).json()
    arrays = {}

    def collect(value: object) -> None:
        if isinstance(value, dict):
            if value.get("type") == "map":
                for key, entry in value["entries"]:
                    if isinstance(entry, dict) and entry.get("type") == "ndarray":
                        data = gzip.decompress(base64.b64decode(entry["array"]["data"]))
                        arrays[key] = np.frombuffer(data, entry["dtype"])
            for entry in value.values():
                collect(entry)
        elif isinstance(value, list):
            for entry in value:
                collect(entry)

    collect(item)
    first = arrays["run"] == 1
    generations = arrays["generation"][first]
    values = arrays["value"][first]
    assert generations.tolist() == [0, 3, 3, 6, 6]
    assert values[:-1].tolist() == [-800.0, -800.0, -11.5, -11.5]
    assert math.isnan(values[-1])
    assert json.dumps(item).count("CustomJS") == 0


@pytest.mark.parametrize("name", ["fitness", "finals", "times", "fronts", "parameters"])
def test_a_figure_is_drawn_anew_as_soon_as_its_data_are_others(ann, pair, name):
    """Bokeh gives all models new ids each time that a figure is drawn."""

    def figure() -> str:
        return ann.get(address(*pair, name=name, target=-20)).content.decode()

    first = figure()
    assert figure() == first
    Experiment.objects.filter(pk=pair[0].pk).update(name="Fast again")
    renamed = figure()
    assert renamed != first
    if name in {"fitness", "finals", "times"}:
        assert "Fast again" in renamed
    add_generations(pair[0].runs.earliest("index"), [("2*(v - u)*s", -3.25)])
    longer = figure()
    assert longer != renamed
    assert figure() == longer
