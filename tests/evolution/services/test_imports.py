"""Importing experiments: what comes out is what went in, and of a broken file nothing."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolution import selectors
from evolution.enums import Action, ExperimentState
from evolution.errors import InvalidExperiment, StateConflict
from evolution.experiment_export import export_experiment
from evolution.experiment_file import BrokenExperimentFile, layout
from evolution.models import (
    Evaluation,
    EvaluationContext,
    Experiment,
    Generation,
    Individual,
    Rule,
    Run,
)
from evolution.services import control, experiments
from evolution.services.couriers import SilentCourier
from evolution.services.imports import import_experiment
from tests.evolution.conftest import history, launch, work_until_idle
from tests.evolution.experiment_files import Members, members_of, small_members, written
from tests.evolution.services.working import finished

pytestmark = pytest.mark.django_db

RECORDS = (Experiment, Run, Generation, Individual, Evaluation, EvaluationContext)


def imported(content: bytes) -> Experiment:
    experiment, is_new = import_experiment(io.BytesIO(content), owner=None)
    assert is_new
    return experiment


def exported(experiment: Experiment) -> bytes:
    return b"".join(export_experiment(experiment, written_by={"e2l": "0.1.0"}))


def problem(members: Members) -> str:
    """Return why a file is refused, and see that nothing of it is there."""
    with pytest.raises(BrokenExperimentFile) as caught:
        import_experiment(io.BytesIO(written(members)), owner=None)
    assert [model.objects.count() for model in RECORDS] == [0] * len(RECORDS)
    return str(caught.value)


def forget_everything() -> None:
    """Leave the database as that of another installation is."""
    for experiment in Experiment.objects.all():
        control.delete_experiment(experiment)
    EvaluationContext.objects.all().delete()
    Rule.objects.all().delete()


# --- what went in -------------------------------------------------------------------------------


def test_a_file_by_hand_is_an_experiment() -> None:
    experiment = imported(written(small_members()))
    assert (experiment.state, experiment.name) == ("imported", "=cmd|' /C calc'!A0")
    assert (experiment.seed, experiment.n_runs, experiment.tags) == (10, 1, ["pilot"])
    assert experiment.provenance["host"] == "elsewhere"
    assert experiment.provenance["engine"] == "e2l 0"
    run = experiment.runs.get()
    assert (run.state, run.stop_reason, run.n_generations_done) == ("finished", "generations", 2)
    assert (run.champion.index, run.champion_fitness) == (3, -0.1)
    champions = run.generations.values_list("champion__index", "champion_fitness", "parents")
    assert list(champions) == [(0, None, [[0]]), (1, -0.5, [[1]]), (3, -0.1, [[3]])]
    rules = run.individuals.order_by("index").values_list("rule__expressions", "fitness")
    assert list(rules) == [(None, None), (["u*s"], -0.5), (["u*s"], -0.5), (["(v - u)*s"], -0.1)]
    champion = run.individuals.select_related("evaluation").get(index=3)
    assert champion.evaluation.trials == [-0.1] * 3
    # NumPy adds three tenths up to a last digit of their own.
    assert champion.evaluation.score == pytest.approx(-0.1, rel=1e-15)
    assert experiment.log.get().action == Action.IMPORTED


@pytest.mark.parametrize(
    "changes",
    [
        {"n_runs": 3},
        {"primitives": ["Add", "Mul", "Parameter"], "n_generations": 5, "local_search_steps": 2},
        {"hurdle_trials": 1, "hurdle_percentile": 0.5, "n_rows": 2, "levels_back": 3},
        {"reorder_genome": True, "seed_rules": ["v - u"], "constants": [0.5, -2.0]},
    ],
    ids=["three runs", "local search", "hurdle", "reordered"],
)
def test_a_history_comes_back_bit_for_bit(make_experiment: Any, changes: dict[str, Any]) -> None:
    before = finished(make_experiment, **changes)
    expected = history(before)
    content = exported(before)
    figures = list(before.runs.values("seed", "n_evaluations", "n_cached", "simulated_s"))
    evaluations = dict(Evaluation.objects.values_list("rule__key", "trials"))
    forget_everything()
    after = imported(content)
    for run in expected:
        run["engine"] = None
    assert history(after) == expected
    assert list(after.runs.values("seed", "n_evaluations", "n_cached", "simulated_s")) == figures
    # Rules that a local search has tried are those of no individual.
    known = dict(Evaluation.objects.values_list("rule__key", "trials"))
    assert known.items() <= evaluations.items()
    own = set(Individual.objects.exclude(rule=None).values_list("rule__key", flat=True))
    baseline = set(Rule.objects.filter(individuals=None).values_list("key", flat=True))
    assert known.keys() == own | baseline
    assert after.get_task_parameters() == before.get_task_parameters()
    assert after.get_evolution_parameters() == before.get_evolution_parameters()
    again, first = (members_of(item) for item in (exported(after), content))
    for name in layout.DATA[1:]:
        assert again[name] == first[name], name


def test_an_experiment_that_runs_is_imported_as_a_stopped_one(make_experiment: Any) -> None:
    experiment = make_experiment(n_generations=1000)
    launch(experiment)
    from tests.evolution.conftest import work_for_a_moment

    work_for_a_moment(0.2)
    content = exported(experiment)
    control.stop_experiment(experiment)
    forget_everything()
    after = imported(content)
    assert after.provenance["state when exported"] == "running"
    run = after.runs.get()
    assert run.state == ExperimentState.STOPPED
    assert run.generations.count() == run.n_generations_done + 1 > 1
    assert work_until_idle() == 0


def test_the_same_content_is_imported_once(make_experiment: Any) -> None:
    experiment = finished(make_experiment)
    first = imported(exported(experiment))
    again, is_new = import_experiment(io.BytesIO(exported(experiment)), owner=None)
    assert (again.pk, is_new) == (first.pk, False)
    control.delete_experiment(first)
    assert imported(exported(experiment)).pk != first.pk


def test_values_of_strangers_are_not_taken_for_our_own(make_experiment: Any) -> None:
    """A file may say what it likes: no experiment of ours takes a fitness from it."""
    experiment = finished(make_experiment)
    expected = history(experiment)
    members = members_of(exported(experiment))
    for row in members[layout.EVALUATIONS]:
        row["trials"] = [1e6] * len(row["trials"])
    forget_everything()
    imported(written(members))
    assert Evaluation.objects.filter(trials=[1e6] * 3).exists()
    assert history(finished(make_experiment)) == expected


def test_an_imported_experiment_is_not_changed() -> None:
    experiment = imported(written(small_members()))
    assert control.possible_actions(experiment) == {"archive", "delete"}
    for change in (control.pause_experiment, control.resume_experiment, control.stop_experiment):
        with pytest.raises(StateConflict):
            change(experiment)
    with pytest.raises((StateConflict, InvalidExperiment)):
        control.extend_experiment(experiment, n_generations=9, courier=SilentCourier())
    with pytest.raises(StateConflict):
        experiments.launch_experiment(experiment, courier=SilentCourier())
    assert selectors.experiment_message(experiment)["state"] == ExperimentState.IMPORTED


def test_with_it_go_the_evaluations_that_only_it_had() -> None:
    experiment = imported(written(small_members()))
    control.delete_experiment(experiment)
    assert [model.objects.count() for model in RECORDS] == [0] * len(RECORDS)


# --- what is refused ----------------------------------------------------------------------------


def changed(member: str, row: int | None, **values: Any) -> Members:
    members = small_members()
    target = members[member] if row is None else members[member][row]
    target.update(values)
    return members


@pytest.mark.parametrize(
    ("name", "row", "values", "message"),
    [
        (layout.CONFIGURATION, None, {"learning_task": "nowhere"}, "no learning task 'nowhere'"),
        (layout.CONFIGURATION, None, {"signature": "a -> b"}, "are v,u,s -> delta_w here"),
        (layout.CONFIGURATION, None, {"task_parameters": {"n_points": 0}}, "n_points: Must be"),
        (layout.CONFIGURATION, None, {"task_parameters": {"eval": 1}}, "no such parameter"),
        (layout.CONFIGURATION, None, {"evolution_parameters": {"n_parents": -1}}, "n_parents"),
        (layout.CONFIGURATION, None, {"seed": 2**32 - 1}, "seed must be"),
        (layout.CONFIGURATION, None, {"n_runs": 2}, "1 lines instead of 2"),
        (layout.CONFIGURATION, None, {"name": ""}, "name: String should have at least"),
        (layout.RUNS, 0, {"run": 2}, "runs.jsonl, line 1: run 1 is expected, not 2"),
        (layout.RUNS, 0, {"seed": 11}, "must have the seed 10"),
        (layout.RUNS, 0, {"state": "going"}, "no state 'going'"),
        (layout.RUNS, 0, {"stop_reason": "x"}, "no reason 'x' to stop"),
        (layout.RUNS, 0, {"champion": 99}, "there is no individual 99"),
        (layout.RUNS, 0, {"champion": None}, "there is a champion"),
        (layout.RUNS, 0, {"n_generations": 3}, "has 3 generations instead of 4"),
        (layout.RUNS, 0, {"started_at": "0001-01-01T00:00:00+14:00"}, "The year"),
        (layout.RULES, 0, {"rule": 1}, "rules.jsonl, line 1: rule 0 is expected"),
        (layout.RULES, 1, {"expressions": ["__import__('os').system('x')"]}, "rules.jsonl, line 2"),
        (layout.RULES, 1, {"expressions": ["v", "u"]}, "rules.jsonl, line 2"),
        (layout.RULES, 1, {"expressions": ["9**9**9**9*v"]}, None),
        (layout.RULES, 1, {"expressions": ["(" * 9000 + "v" + ")" * 9000]}, "rules.jsonl, line 2"),
        (layout.EVALUATIONS, 0, {"rule": 2}, "evaluations.jsonl, line 1: there is no rule 2"),
        (layout.EVALUATIONS, 0, {"reason": "tired"}, "no reason 'tired'"),
        (layout.GENERATIONS, 1, {"generation": 2}, "generation 1 is expected, not 2"),
        (layout.GENERATIONS, 1, {"champion": 77}, "jsonl, line 2: there is no individual 77"),
        (layout.GENERATIONS, 1, {"champion": None}, "generations.jsonl, line 2: champion: Input"),
        (layout.GENERATIONS, 1, {"parents": [1, 78]}, "there is no individual 78"),
        (layout.GENERATIONS, 2, {"run": 2}, "run 1 has 2 generations instead of 3"),
        (layout.INDIVIDUALS, 2, {"individual": 1}, "individual 1 comes after 1"),
        (layout.INDIVIDUALS, 2, {"parent": 3}, "individuals.jsonl, line 3: there is no parent 3"),
        (layout.INDIVIDUALS, 2, {"rule": 9}, "individuals.jsonl, line 3: there is no rule 9"),
        (layout.INDIVIDUALS, 3, {"rule": None}, "a fitness without a rule"),
        (layout.GENERATIONS, 0, {"champion_fitness": 1.0}, "0 has no rule and so no fitness"),
        (layout.RUNS, 0, {"champion": 0}, "runs.jsonl, line 1: individual 0 has no rule"),
        (layout.RUNS, 0, {"improved_at_generation": 3}, "a generation that is not there"),
        (layout.INDIVIDUALS, 3, {"generation": 3}, "run 1 has 2 generations only"),
        (layout.INDIVIDUALS, 3, {"origin": "heaven"}, "no origin 'heaven'"),
        (layout.INDIVIDUALS, 3, {"outcome": "fine"}, "no outcome 'fine'"),
        (layout.INDIVIDUALS, 0, {"genomes": [[1, 2]]}, "the genome has 2 genes instead of 48"),
        (layout.INDIVIDUALS, 0, {"genomes": [[], []]}, "there are 2 genomes"),
        (layout.INDIVIDUALS, 3, {"run": 2}, "generations.jsonl, line 3: there is no individual 3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_and_nothing_is_left(name, row, values, message) -> None:
    if message is None:
        # A number of any size is a rule, if the language says so.
        imported(written(changed(name, row, **values)))
        return
    assert message in problem(changed(name, row, **values))


def test_rows_of_no_run_are_named() -> None:
    members = small_members()
    members[layout.INDIVIDUALS].append({**members[layout.INDIVIDUALS][3], "run": 2})
    assert "individuals.jsonl, line 5: run 2 is not expected here" in problem(members)


def genome(**genes: int) -> list[int]:
    """Return a genome of three inputs and twelve nodes that adds the first two inputs."""
    alleles = [-1, -3, -3] * 3 + [0, 0, 1] * 12 + [-2, 3, -3]
    for place, gene in genes.items():
        alleles[int(place[1:])] = gene
    return alleles


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ({}, ""),
        ({"_0": 0}, "no input at address 0"),
        ({"_9": 5}, "no function 5"),
        ({"_10": 3}, "address 3 that does not come before it"),
        ({"_11": -3}, "address 3 that does not come before it"),
        ({"_46": 1_000_000}, "no output"),
        ({"_45": 0}, "no output"),
    ],
)
def test_a_genome_is_one_that_evolution_could_have_made(genes, message) -> None:
    members = changed(layout.INDIVIDUALS, 3, genomes=[genome(**genes)])
    for row in members[layout.INDIVIDUALS][:3]:
        row["genomes"] = [genome()]
    if message:
        assert message in problem(members)
    else:
        assert imported(written(members)).runs.get().champion.genome == [genome()]


def test_what_files_say_of_improvements_is_not_believed() -> None:
    members = small_members()
    members[layout.GENERATIONS][1]["champion_fitness"] = 7.0
    members[layout.GENERATIONS][0]["is_improvement"] = True
    flags = imported(written(members)).runs.get().generations.values_list("is_improvement")
    assert [flag for (flag,) in flags] == [False, True, False]


PAGES = ("experiments", "experiment", "experiment-plot", "experiment-band", "run", "population",
         "individuals", "individual", "rules", "compare")  # fmt: skip


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_value_anywhere_is_imported_so_that_pages_work_or_not_at_all(
    client: Client, django_user_model: Any, data: st.DataObject
) -> None:
    client.force_login(django_user_model.objects.get_or_create(username="ann")[0])
    members = small_members()
    name = data.draw(st.sampled_from(layout.DATA))
    rows = [members[name]] if name == layout.CONFIGURATION else members[name]
    row = data.draw(st.sampled_from(rows))
    key = data.draw(st.sampled_from(sorted(row)))
    row[key] = data.draw(
        st.none()
        | st.booleans()
        | st.integers(-3, 4)
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from(["-Infinity", "crash", "error", "stopped"])
        | st.text(max_size=5)
        | st.lists(st.integers(-3, 10) | st.none(), max_size=3)
        | st.dictionaries(st.sampled_from(["items", "a"]), st.none() | st.text(max_size=2))
    )
    try:
        content = written(members)
    except UnicodeEncodeError:
        return
    try:
        experiment = imported(content)
    except BrokenExperimentFile:
        assert not any(model.objects.exists() for model in RECORDS)
        return
    connection.check_constraints()
    for page in PAGES:
        arguments = {
            "experiments": [], "rules": [], "compare": [],
            "run": [experiment.pk, 1], "population": [experiment.pk, 1],
            "individuals": [experiment.pk, 1], "individual": [experiment.pk, 1, 1],
        }.get(page, [experiment.pk])  # fmt: skip
        query = {"experiment": experiment.pk} if page == "compare" else {}
        assert client.get(reverse(f"evolution:{page}", args=arguments), query).status_code == 200
    control.delete_experiment(experiment)
