"""The authors' data folder: what is read, what is refused, and the experiments that come of it."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from evolution import selectors
from evolution.enums import ContextPurpose, ExperimentState
from evolution.errors import InvalidExperiment, StateConflict
from evolution.models import (
    Evaluation,
    EvaluationContext,
    Experiment,
    Generation,
    Individual,
    Run,
)
from evolution.published import UnknownFolder, read_folder
from evolution.published.files import BrokenFile, read_npy, read_pickle
from evolution.selectors import experiment_message
from evolution.services import control, experiments
from evolution.services.couriers import SilentCourier
from evolution.validated import ValidatedRules
from evolution.views import presentation

if TYPE_CHECKING:
    from django.test import Client

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "published"
needs_published = pytest.mark.skipif(
    not PUBLISHED.exists(), reason="the published results (../shared/published) are not here"
)


# --- pickles of strangers -----------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: (
        st.lists(children) | st.dictionaries(st.text(), children) | st.tuples(children)
    ),
    max_leaves=10,
)


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    return path


@settings(max_examples=50, deadline=None)
@given(value=plain, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_read_back(tmp_path_factory, value, protocol) -> None:
    path = written(tmp_path_factory.mktemp("pickle"), pickle.dumps(value, protocol))
    assert read_pickle(path) == value


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["float64", "int64", "float32", "bool", ">f8"])
def test_arrays_of_numbers_are_read_back(tmp_path, dtype, protocol) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    value = {"a": array, "b": [array.T]}
    content = pickle.dumps(value, protocol)
    # As NumPy 1, with which the authors worked, names its modules.
    content = (
        content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        if (protocol < 4)
        else content
    )
    found = read_pickle(written(tmp_path, content))
    np.testing.assert_array_equal(found["a"], array)
    np.testing.assert_array_equal(found["b"][0], array.T)


class _Calls:
    def __init__(self, function, *arguments) -> None:
        self._call = function, arguments

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize(
    "value",
    [
        _Calls(eval, "1 + 1"),
        _Calls(getattr, "text", "upper"),
        _Calls(np.ndarray, (10,)),
        _Calls(np.dtype, "O"),
        _Calls(Path, "/etc/passwd"),
        {"nested": [_Calls(print, "called")]},
        np.array([{"an": "object"}], dtype=object),
        np.array(["text"]),
        np.datetime64("2021-10-28"),
        complex(1, 2),
        {1, 2},
        ValueError,
    ],
    ids=[
        "eval",
        "getattr",
        "ndarray",
        "dtype of objects",
        "path",
        "nested call",
        "array of objects",
        "array of texts",
        "datetime",
        "complex",
        "set",
        "class",
    ],
)
def test_everything_else_is_refused_and_never_called(tmp_path, capsys, value) -> None:
    if value == {1, 2}:
        # A plain container as well.
        assert read_pickle(written(tmp_path, pickle.dumps(value))) == value
        return
    with pytest.raises(BrokenFile, match=r"admitted|expected|numbers|can be read"):
        read_pickle(written(tmp_path, pickle.dumps(value)))
    assert capsys.readouterr().out == ""


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_pickles_are_broken_files(tmp_path_factory, data) -> None:
    content = bytearray(pickle.dumps({"a": np.arange(20.0), "b": ["x_0"] * 3}, 2))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = written(
        tmp_path_factory.mktemp("pickle"), bytes(content[: data.draw(st.integers(0, 300))])
    )
    # Whatever it holds by now: either it can be read, or it is said that it cannot.
    with suppress(BrokenFile):
        read_pickle(path)


def test_arrays_of_objects_are_no_arrays_of_numbers(tmp_path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BrokenFile, match="no array of numbers"):
        read_npy(path)


# --- the folder ---------------------------------------------------------------------------------


def results(n_generations: int) -> dict:
    fitness = -np.linspace(9.0, 1.0, n_generations)
    texts = ["x_0"] * (n_generations // 2) + ["x_2*(x_0 - x_1)"] * (
        n_generations - n_generations // 2
    )
    return {"fitness": fitness[:, None], "fitness_champion": fitness, "expr_champion": texts}


def with_texts(texts: object) -> bytes:
    return pickle.dumps({**results(5), "expr_champion": texts})


def runs_of(tasks) -> set[tuple[str, int]]:
    return {(task.learning_task_name, run.number) for task in tasks for run in task.runs}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two runs of one learning task and one of another."""
    own = tmp_path / "data" / "error-driven" / "abc"
    own.mkdir(parents=True)
    (own / "sim_params.json").write_text('{"seed": 99}')
    for number in (0, 1):
        (own / f"res_{number}.pkl").write_bytes(pickle.dumps(results(10), 2))
    (own / "res_test_1.pkl").write_bytes(pickle.dumps(np.array([-1.0, -2.0, -3.0]), 2))
    pairs = tmp_path / "data" / "correlation_based" / "def"
    pairs.mkdir(parents=True)
    np.save(pairs / "fitness_3.npy", np.array([[1.0, 0.5], [2.0, -np.inf], [2.0, 1.5]]))
    (pairs / "champion_evol_3.txt").write_text("[[x_0], [x_1]]\n[[2*x_1], [x_1]]\n[[2*x_1], [x_1]]")
    return tmp_path / "data"


def test_a_folder_is_read(folder: Path) -> None:
    error_driven, correlation_driven = read_folder(folder)
    assert error_driven.parameters == {"seed": 99}
    assert [run.number for run in error_driven.runs] == [0, 1]
    assert error_driven.runs[0].champions[4:6] == (("x_0",), ("x_2*(x_0 - x_1)",))
    assert error_driven.runs[0].validation == ()
    assert error_driven.runs[1].validation == (-1.0, -2.0, -3.0)
    (run,) = correlation_driven.runs
    assert run.number == 3
    assert run.champion_fitness == (1.0, 2.0, 2.0)
    assert run.champions == (("x_0", "x_1"), ("2*x_1", "x_1"), ("2*x_1", "x_1"))
    assert error_driven.problems == correlation_driven.problems == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("error-driven/abc/res_0.pkl", b"nonsense", "no pickle"),
        ("error-driven/abc/res_0.pkl", pickle.dumps([1]), "fitness and expression"),
        ("error-driven/abc/res_0.pkl", with_texts(["x_0"]), "1 expr"),
        ("error-driven/abc/res_0.pkl", with_texts(5), "no texts"),
        ("error-driven/abc/res_0.pkl", pickle.dumps(_Calls(eval, "1")), "only plain containers"),
        ("correlation_based/def/fitness_3.npy", b"\x93NUMPY", "no array"),
        ("correlation_based/def/champion_evol_3.txt", b"[[x_0]]", "Line 1"),
        ("error-driven/abc/sim_params.json", b"{", "no JSON"),
        ("error-driven/abc/res_test_1.pkl", b"", "no pickle"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named_and_left_out(folder: Path, name, content, message) -> None:
    whole = runs_of(read_folder(folder))
    (folder / name).write_bytes(content)
    tasks = read_folder(folder)
    (problem,) = [problem for task in tasks for problem in task.problems]
    assert problem.path == folder / name
    assert message in problem.message
    is_run = "res_0" in name or "fitness_3" in name
    assert len(whole - runs_of(tasks)) == is_run


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownFolder, match="error-driven"):
        read_folder(tmp_path)
    with pytest.raises(CommandError) as error:
        call_command("import_published", str(tmp_path))
    assert error.value.returncode == 2


# --- experiments --------------------------------------------------------------------------------


def imported(folder: Path) -> tuple[str, str]:
    output, errors = StringIO(), StringIO()
    call_command("import_published", str(folder), stdout=output, stderr=errors)
    return output.getvalue(), errors.getvalue()


@pytest.mark.django_db
def test_published_validations_come_again_and_go_with_their_experiment(folder: Path) -> None:
    imported(folder)
    contexts = EvaluationContext.objects.filter(purpose=ContextPurpose.PUBLISHED)
    context = contexts.get()
    # As in a database of before: importing the same results once more brings the values.
    context.delete()
    imported(folder)
    (evaluation,) = Evaluation.objects.filter(context=contexts.get())
    assert evaluation.trials == [-1.0, -2.0, -3.0]
    control.delete_experiment(Experiment.objects.get(learning_task_name="error-driven"))
    assert not contexts.exists()


@pytest.mark.django_db
def test_what_was_imported_is_the_history_that_was_published(folder: Path) -> None:
    output, errors = imported(folder)
    assert errors == ""
    assert "error-driven: 2 runs imported as experiment" in output
    experiment = Experiment.objects.get(learning_task_name="error-driven")
    assert (experiment.state, experiment.seed) == (ExperimentState.PUBLISHED, 99)
    assert experiment.published["validations"] == {"1": [-1.0, -2.0, -3.0]}
    assert "-2 ± 0.58" in experiment.provenance["validation of run 2"]
    # The same values stand where those of one's own validations do.
    champion = experiment.runs.get(index=1).champion.rule
    found = ValidatedRules([champion], experiment.learning_task, Experiment.objects.all()).of(
        champion, like=experiment.task_parameters
    )
    assert found.is_published
    assert (found.evaluation.trials, found.estimate.value) == ([-1.0, -2.0, -3.0], -2.0)
    run = experiment.runs.get(index=0)
    published = read_folder(folder)[0].runs[0]
    generations = list(run.generations.select_related("champion__rule"))
    assert [item.champion_fitness for item in generations] == list(published.champion_fitness)
    assert generations[0].champion.rule.expressions == ["v"]
    assert run.champion.rule.expressions == ["(v - u)*s"]
    assert all(item.is_improvement for item in generations)
    message = selectors.experiment_message(experiment)
    assert presentation.progress(message) == 1.0


@pytest.mark.django_db
def test_a_second_import_changes_nothing_and_a_new_one_replaces_the_old(folder: Path) -> None:
    imported(folder)
    before = set(Experiment.objects.values_list("pk", flat=True))
    rows = [model.objects.count() for model in (Run, Generation, Individual)]
    output, _ = imported(folder)
    assert "already there as" in output
    assert set(Experiment.objects.values_list("pk", flat=True)) == before
    assert [model.objects.count() for model in (Run, Generation, Individual)] == rows
    (folder / "error-driven" / "abc" / "res_1.pkl").write_bytes(b"broken")
    output, errors = imported(folder)
    assert "Left out" in errors
    assert "res_1.pkl" in errors
    assert "error-driven: 1 runs imported" in output
    assert Experiment.objects.count() == 2


@pytest.mark.django_db
def test_two_folders_of_one_learning_task_are_two_experiments(folder: Path) -> None:
    shutil.copytree(folder / "error-driven" / "abc", folder / "error-driven" / "xyz")
    imported(folder)
    before = list(Experiment.objects.order_by("pk").values_list("pk", flat=True))
    assert len(before) == 3
    output, _ = imported(folder)
    assert output.count("already there as") == 3
    assert list(Experiment.objects.order_by("pk").values_list("pk", flat=True)) == before


@pytest.mark.django_db
def test_nothing_is_left_of_an_import_that_fails(folder: Path, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(Generation.objects.__class__, "bulk_create", fail)
    with pytest.raises(RuntimeError):
        imported(folder)
    assert not Experiment.objects.exists()
    assert not Run.objects.exists()


@pytest.mark.django_db
def test_a_published_experiment_is_not_changed(folder: Path) -> None:
    imported(folder)
    experiment = Experiment.objects.get(learning_task_name="error-driven")
    assert control.possible_actions(experiment) == {"archive", "delete"}
    for change in (control.pause_experiment, control.resume_experiment, control.stop_experiment):
        with pytest.raises(StateConflict):
            change(experiment)
    with pytest.raises((StateConflict, InvalidExperiment)):
        control.extend_experiment(experiment, n_generations=5000, courier=SilentCourier())
    with pytest.raises(StateConflict):
        experiments.launch_experiment(experiment, courier=SilentCourier())
    experiment.refresh_from_db()
    assert experiment.state == ExperimentState.PUBLISHED


@pytest.mark.django_db
def test_its_pages_can_be_looked_at(folder: Path, client: Client, django_user_model) -> None:
    client.force_login(django_user_model.objects.create_superuser("ann"))
    imported(folder)
    for experiment in Experiment.objects.all():
        run = experiment.runs.first()
        own = [experiment.pk]
        number = [experiment.pk, run.number]
        for name, arguments in (
            ("experiments", []),
            ("experiment", own),
            ("experiment-plot", own),
            ("experiment-history", own),
            ("run", number),
            ("population", number),
            ("individuals", number),
            ("individual", [*number, run.champion.index]),
            ("rule", [run.champion.rule_id]),
        ):
            response = client.get(reverse(f"evolution:{name}", args=arguments))
            assert response.status_code == 200, name
        # How long the authors' runs took is not known.
        assert experiment_message(experiment)["elapsed_s"] is None
        page = client.get(reverse("evolution:compare") + f"?experiment={experiment.pk}")
        assert page.status_code == 200
    assert "published" in client.get(reverse("evolution:experiments")).content.decode()


@pytest.mark.django_db
@needs_published
@pytest.mark.parametrize("name", ["error-driven", "reward-driven", "correlation-driven"])
def test_the_authors_folder_says_what_the_facts_beside_it_say(name: str, tmp_path: Path) -> None:
    facts = json.loads((PUBLISHED / f"{name.replace('-', '_')}.json").read_text())
    folder = {"correlation-driven": "correlation_based"}.get(name, name)
    shutil.copytree(PUBLISHED / "raw" / folder, tmp_path / folder)
    _, errors = imported(tmp_path)
    assert errors == ""
    experiment = Experiment.objects.get(learning_task_name=name)
    assert experiment.n_runs == len(facts["runs"])
    signature = experiment.learning_task.signature
    for fact in facts["runs"]:
        run = experiment.runs.get(index=fact["run"])
        curve = [
            -math.inf if value is None else value
            for value in run.generations.order_by("index").values_list(
                "champion_fitness", flat=True
            )
        ]
        assert curve == fact["fitness_champion"]
        texts = [fact["champion_rule"]] if "champion_rule" in fact else None
        if "champion_depress" in fact:
            texts = [fact["champion_depress"], fact["champion_facilitate"]]
        if texts is not None:
            from evolution.services.evaluations import canonical_rule

            expected = canonical_rule(signature, tuple(texts))
            assert run.champion.rule.key == expected.key
        if "validation" in fact and isinstance(fact["validation"], dict):
            published = experiment.published["validations"][str(fact["run"])]
            assert published == fact["validation"]["negative_error_per_trial"]
