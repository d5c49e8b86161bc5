"""The commands validate and robustness: what they print, keep and refuse."""

from __future__ import annotations

import io
import json
import statistics
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from evolution.models import Evaluation, Validation
from simulations.learning_tasks import get_learning_task
from tests.evolution.conftest import launch, work_until_idle
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from evolution.models import Experiment

pytestmark = pytest.mark.django_db(transaction=True)

#: Mean over 15 held-out trials as the authors published it (eLife 10:e66273, figure 4).
PUBLISHED = {"2*(v - u)*s": -11.46, "(v - u)*s": -14.59}


def run(command: str, *arguments: str) -> dict[str, Any]:
    """Run a command and read the one JSON object that it prints."""
    output = io.StringIO()
    call_command(command, *arguments, "--json", stdout=output)
    return json.loads(output.getvalue())


def test_one_rule_is_printed_beside_the_literature() -> None:
    result = run("validate", NAME, "v*s", "--preset", "demo", "--trials", "4")
    assert (result["task"], result["rule"]["canonical"], result["seed"]) == (NAME, ["v*s"], 1000)
    assert len(result["trials"]) == 4
    assert result["mean"] == pytest.approx(statistics.fmean(result["trials"]))
    assert result["sd"] == pytest.approx(statistics.stdev(result["trials"]))
    low, high = result["interval"]
    # Student's t with three degrees of freedom.
    assert (high - low) / 2 == pytest.approx(3.182446 * result["sd"] / 2, rel=1e-6)
    (baseline,) = result["baselines"]
    assert baseline["name"] == "product"
    assert len(baseline["trials"]) == 4
    assert baseline["mean"] == pytest.approx(0.0, abs=1e-12)
    assert baseline["difference"] == pytest.approx(result["mean"])


def test_the_answer_stays() -> None:
    arguments = ["validate", NAME, "v*s", "--preset", "demo", "--trials", "4"]
    first = run(*arguments)
    n = Evaluation.objects.count()
    assert run(*arguments) == first
    assert run(*arguments[:-1], "2")["trials"] == first["trials"][:2]
    assert Evaluation.objects.count() == n
    assert set(Validation.objects.values_list("state", flat=True)) == {"finished"}


def test_a_rule_that_fails_has_a_reason_and_exit_code_0() -> None:
    result = run("validate", NAME, "v/(s - s)", "--preset", "demo")
    assert (result["reason"], result["mean"], result["trials"]) == ("not finite", None, [])


def test_champions_and_front_of_an_experiment(make_experiment: Callable[..., Experiment]) -> None:
    experiment = make_experiment(n_runs=2, n_generations=3)
    launch(experiment)
    work_until_idle()
    result = run("validate", "--experiment", str(experiment.pk), "--trials", "2")
    champions = {tuple(run.champion.rule.expressions) for run in experiment.runs.all()}
    found = {tuple(item["rule"]["canonical"]): item for item in result["rules"]}
    assert found.keys() == champions
    assert all(len(item["trials"]) == 2 for item in found.values())
    for item in experiment.runs.all():
        own = found[tuple(item.champion.rule.expressions)]
        assert own["gap"] == pytest.approx(item.champion_fitness - own["mean"])
    (one,) = run("validate", "--run", f"{experiment.pk}-2", "--trials", "2")["rules"]
    assert one == found[tuple(experiment.runs.get(index=1).champion.rule.expressions)]
    front = run("validate", "--experiment", str(experiment.pk), "--front")["rules"]
    assert [item["rule"]["complexity"] for item in front] == sorted(
        {item["rule"]["complexity"] for item in front}
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([NAME, "v +", "--preset", "demo"], "column"),
        ([NAME], "Name a learning task and a rule"),
        (["nothing", "v"], "no learning task"),
        ([NAME, "v"], "no preset 'paper'"),
        ([NAME, "v", "--preset", "demo", "--trials", "0"], "from 1 to"),
        ([NAME, "v", "--preset", "demo", "--front"], "--front needs"),
        ([NAME, "v", "--preset", "demo", "--set", "n_points=many"], "n_points"),
        (["--experiment", "77"], "no experiment 77"),
        (["--run", "77"], "PK-N"),
        ([NAME, "--experiment", "77"], "those of the experiment"),
    ],
)
def test_bad_input_has_exit_code_2(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message) as caught:
        call_command("validate", *arguments)
    assert caught.value.returncode == 2
    assert not Validation.objects.exists()


def test_a_seed_that_is_not_held_out_is_refused(make_experiment: Callable[..., Experiment]) -> None:
    make_experiment(seed=5000)
    with pytest.raises(CommandError, match="not held out") as caught:
        call_command("validate", NAME, "v", "--preset", "demo", "--seed", "5100")
    assert caught.value.returncode == 2


def test_robustness_is_printed_by_parameter() -> None:
    result = run("robustness", NAME, "v*s", "--preset", "demo", "--trials", "2")
    (parameter,) = result["parameters"]
    assert (parameter["name"], parameter["value"]) == ("n_points", 16)
    for point in parameter["points"]:
        same = run("validate", NAME, "v*s", "--preset", "demo", "--trials", "2",
                   "--set", f"n_points={int(point['value'])}")  # fmt: skip
        assert point["fitness"] == pytest.approx(same["fitness"])
    assert result["fitness"] == pytest.approx(
        run("validate", NAME, "v*s", "--preset", "demo", "--trials", "2")["fitness"]
    )


def test_output_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("validate", NAME, "v*s", "--preset", "demo", "--trials", "2")
    text = capsys.readouterr().out
    assert "held out" in text
    assert "product" in text
    call_command("robustness", NAME, "v*s", "--preset", "demo", "--trials", "2")
    assert "n points, 16" in capsys.readouterr().out


@pytest.mark.nest
def test_published_means_are_met() -> None:
    result = run("validate", "error-driven", "2*(v - u)*s", "--trials", "15")
    assert result["seed"] == get_learning_task("error-driven").presets["paper"].validation_seed
    assert result["mean"] == pytest.approx(PUBLISHED["2*(v - u)*s"], abs=0.006)
    (baseline,) = result["baselines"]
    assert baseline["mean"] == pytest.approx(PUBLISHED["(v - u)*s"], abs=0.006)
    assert baseline["p_value"] < 0.001


@pytest.mark.nest
def test_held_out_replays_of_the_correlation_driven_task_are_longer() -> None:
    """The preset says how held-out trials differ; the fitness is the least of the trials."""
    result = run(
        *("validate", "correlation-driven", "0", "E - 0.15", "--preset", "demo", "--trials", "2"),
        *("--set", "t_sim_ms=6000"),
    )
    context = Validation.objects.get().context
    assert context.task_parameters["replay_ms"] == 5500
    assert result["fitness"] == min(result["trials"])
