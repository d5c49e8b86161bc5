"""Whether the same comes out again, and what is said where it does not."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import pytest

from evolution.differences import differences
from evolution.enums import ExperimentState
from evolution.errors import StateConflict
from evolution.experiment_file import layout
from evolution.models import Evaluation, Experiment
from evolution.services import control, experiments
from evolution.services.couriers import SilentCourier
from evolution.services.imports import import_experiment
from tests.evolution.conftest import history, work_for_a_moment, work_until_idle
from tests.evolution.experiment_files import Members, members_of, written
from tests.evolution.services.test_imports import exported, finished, forget_everything

if TYPE_CHECKING:
    from collections.abc import Callable

    from evolution.differences import Difference

pytestmark = pytest.mark.django_db


def reproduce(experiment: Experiment) -> Experiment:
    reproduction = experiments.reproduce_experiment(experiment, by=None, courier=SilentCourier())
    work_until_idle()
    return Experiment.objects.select_related("original").get(pk=reproduction.pk)


def difference_to(members: Members) -> Difference:
    """Import a file, reproduce it, and return how it differs."""
    forget_everything()
    original, _ = import_experiment(io.BytesIO(written(members)), owner=None)
    return differences(reproduce(original))


@pytest.fixture
def members(make_experiment: Callable[..., Experiment]) -> Members:
    return members_of(exported(finished(make_experiment, n_runs=2, target_fitness=None)))


def row_of(members: Members, name: str, **where: Any) -> dict[str, Any]:
    (row,) = [row for row in members[name] if where.items() <= row.items()]
    return row


def test_an_imported_experiment_is_reproduced_bit_for_bit(members: Members) -> None:
    found = difference_to(members)
    assert found.is_identical
    assert found.is_over
    assert found.verdict == "Identical, bit for bit: 26 generations of 2 runs."
    assert [(run.first, run.n_different, run.largest) for run in found.runs] == [(None, 0, 0.0)] * 2


def test_our_own_experiment_is_simulated_anew(make_experiment: Any) -> None:
    original = finished(make_experiment)
    n_before = Evaluation.objects.count()
    reproduction = reproduce(original)
    assert Evaluation.objects.count() == 2 * n_before
    assert reproduction.context_id != original.context_id
    assert history(reproduction) == history(original)
    assert differences(reproduction).is_identical
    # And again: each stands for itself.
    assert reproduce(original).context_id not in {original.context_id, reproduction.context_id}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda row: row.update(champion_fitness=math.nextafter(row["champion_fitness"], 0)),
         ["champion's fitness"]),
        (lambda row: row.update(parents=row["parents"][::-1]), ["survivors"]),
    ],
    ids=["last bit of a fitness", "order of the survivors"],
)  # fmt: skip
@pytest.mark.parametrize("generation", [0, 7, 12])
def test_a_generation_that_was_changed_is_found(members, generation, change, what) -> None:
    row = row_of(members, layout.GENERATIONS, run=2, generation=generation)
    before = row["champion_fitness"]
    change(row)
    found = difference_to(members)
    assert not found.is_identical
    assert found.verdict == "1 of 2 runs differ."
    one, two = found.runs
    assert (one.first, two.first, two.what, two.n_different) == (None, generation, what, 1)
    assert two.largest == abs(row["champion_fitness"] - before)
    assert two.verdict == f"differs from generation {generation} on"


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.update(fitness="-Infinity"),
        lambda row: row["genomes"][0].__setitem__(-2, (row["genomes"][0][-2] + 1) % 3),
        lambda row: row.update(rule=(row["rule"] + 1) % 5),
        lambda row: row.update(parent=0),
    ],
    ids=["fitness", "gene", "rule", "parent"],
)
def test_an_individual_that_was_changed_is_found(members: Members, change) -> None:
    champions = {row["champion"] for row in members[layout.GENERATIONS] if row["run"] == 1}
    row = next(
        row
        for row in members[layout.INDIVIDUALS]
        if row["run"] == 1
        and row["generation"] == 5
        and row["individual"] not in champions
        and row["rule"] is not None
        and row["parent"] != 0
    )
    change(row)
    one, two = difference_to(members).runs
    assert (one.first, one.what, one.n_different) == (5, ["individuals"], 0)
    assert two.first is None


def test_a_champion_with_another_rule_is_shown_beside_ours(members: Members) -> None:
    members[layout.RULES].append(
        {"rule": len(members[layout.RULES]), "key": "x", "expressions": ["u**3"], "complexity": 3}
    )
    champion = row_of(members, layout.GENERATIONS, run=1, generation=12)["champion"]
    individual = row_of(members, layout.INDIVIDUALS, run=1, individual=champion)
    individual["rule"] = len(members[layout.RULES]) - 1
    run = difference_to(members).runs[0]
    assert run.first == individual["generation"]
    assert run.what == ["champion's rule", "individuals"]
    assert str(run.before.rule) != str(run.again.rule)
    assert str(run.before.rule) in {"u**3", "u*u*u", "u*u**2"}


def test_minus_infinity_differs_from_a_number_by_infinity(members: Members) -> None:
    row_of(members, layout.GENERATIONS, run=1, generation=3)["champion_fitness"] = "-Infinity"
    run = difference_to(members).runs[0]
    assert (run.first, run.largest, run.largest_text) == (3, math.inf, "∞")


def test_what_is_there_so_far_is_compared(make_experiment: Any) -> None:
    original = finished(make_experiment, n_generations=60, target_fitness=None)
    reproduction = experiments.reproduce_experiment(original, by=None, courier=SilentCourier())
    reproduction = Experiment.objects.select_related("original").get(pk=reproduction.pk)
    found = differences(reproduction)
    assert (found.is_over, found.progress, found.runs[0].verdict) == (False, 0.0, "not begun")
    while not reproduction.runs.get().champion_id:
        work_for_a_moment(0.0)
    found = differences(reproduction)
    run = found.runs[0]
    assert 0 < run.n_compared < 61
    assert found.progress == run.n_compared / 61
    assert (run.verdict, found.is_identical) == ("identical so far", False)
    control.stop_experiment(reproduction)
    found = differences(reproduction)
    assert found.is_over
    assert found.runs[0].is_shorter
    assert found.verdict == "Identical as far as it goes, but 1 of 1 runs are shorter."


def test_it_takes_few_statements(members: Members, django_assert_max_num_queries) -> None:
    row_of(members, layout.GENERATIONS, run=1, generation=3)["champion_fitness"] = -1e300
    forget_everything()
    original, _ = import_experiment(io.BytesIO(written(members)), owner=None)
    reproduction = reproduce(original)
    with django_assert_max_num_queries(9):
        differences(reproduction)


def test_software_that_differs_is_named(members: Members) -> None:
    members[layout.CONFIGURATION]["provenance"]["nest-simulator"] = "2.18"
    members[layout.CONFIGURATION]["engine_version"] = "e2l 0"
    software = {name: before for name, before, _ in difference_to(members).software}
    assert software == {"nest-simulator": "2.18", "engine": "e2l 0"}


@pytest.mark.parametrize("state", ["created", "running", "paused", "published"])
def test_only_what_is_over_and_has_genomes_is_reproduced(make_experiment: Any, state: str) -> None:
    experiment = make_experiment()
    published = {"folder": "x"} if state == "published" else None
    Experiment.objects.update(state=state, published=published)
    experiment.refresh_from_db()
    with pytest.raises(StateConflict, match="cannot be reproduced"):
        experiments.reproduce_experiment(experiment, by=None, courier=SilentCourier())
    assert Experiment.objects.count() == 1


def test_a_reproduction_outlives_its_original(make_experiment: Any) -> None:
    reproduction = reproduce(finished(make_experiment))
    control.delete_experiment(reproduction.original)
    reproduction.refresh_from_db()
    assert (reproduction.original, reproduction.state) == (None, ExperimentState.FINISHED)
    assert reproduction.has_own_evaluations
