"""The client's other operations against a real server: files, links, people, figures."""

from __future__ import annotations

import threading
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evolution import client
from evolution.enums import ExperimentState, Role
from evolution.models import Probe, Recording, ShareLink, Worker, WorkerHost
from simulations.recordings import pack
from tests.evolution.api.cast import account, experiment_of, token_of
from tests.evolution.conftest import launch, work_until_idle
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mia() -> User:
    return account("mia")


@pytest.fixture
def lab(live_server, mia) -> Iterator[client.Client]:
    with client.connect(live_server.url, token_of(mia)) as connected:
        yield connected


def test_an_experiment_is_taken_away_brought_in_and_made_again(lab, make_experiment, tmp_path):
    original = make_experiment(n_generations=4)
    launch(original)
    work_until_idle()
    path = lab.export(original.pk, tmp_path / "mine.e2l.zip")
    assert zipfile.is_zipfile(path)
    assert list(tmp_path.iterdir()) == [path]
    copy = lab.bring_in(path)
    assert (copy.state, copy.owner, copy.id != original.pk) == ("imported", "mia", True)
    assert lab.bring_in(path).id == copy.id
    assert list(lab.history(copy)["fitness"]) == list(lab.history(original.pk)["fitness"])
    again = lab.reproduce(copy)
    assert again.original == copy.id
    work_until_idle()
    assert lab.difference(again)["is_identical"] is True


def test_a_refused_file_leaves_nothing(lab, tmp_path):
    kept = tmp_path / "kept.zip"
    kept.write_bytes(b"before")
    with pytest.raises(client.ApiError, match="There is no experiment 99") as refused:
        lab.export(99, kept)
    assert refused.value.status == 404
    assert kept.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [kept]
    with pytest.raises(client.ApiError, match="too short"):
        lab.bring_in(kept)


def test_champions_are_validated_and_framed(lab, mia, make_experiment):
    experiment = make_experiment(n_runs=2, n_generations=4)
    launch(experiment)
    work_until_idle()
    before = lab.held_out_champions(experiment.pk)
    assert before["held_out"].isna().all()
    asked = lab.validate_experiment(experiment.pk, n_trials=3, wait=False)
    result: list[client.Validation] = []

    def follow() -> None:
        result.append(
            lab.validate_experiment(experiment.pk, n_trials=3, progress=False, timeout_s=60)
        )

    waiting = threading.Thread(target=follow)
    waiting.start()
    work_until_idle()
    waiting.join(60)
    (over,) = result
    assert (over.id, over.state, over.subject) == (asked.id, "finished", "champions")
    frame = lab.held_out_champions(experiment.pk)
    assert sorted(number for runs in frame["runs"] for number in runs) == [1, 2]
    assert list(frame["n_trials"]) == [3] * len(frame)
    for row in frame.to_dict("records"):
        known = lab.held_out(row["rule_id"])[0]
        assert row["held_out"] == pytest.approx(np.mean(known["trials"]))


def test_validations_are_listed_and_cancelled(lab):
    rule = lab.keep(NAME, "v*s", name="product with v")
    asked = lab.test_robustness(rule, NAME, n_trials=2, wait=False)
    assert (asked.kind, asked.may_cancel) == ("robustness", True)
    assert lab.cancel(asked).state == "cancelled"
    assert [item.id for item in lab.validations(state="cancelled")] == [asked.id]
    (found,) = lab.rules(NAME, q="s*v")
    assert found["names"] == ["product with v"]


def test_recordings_and_panels_are_read(lab, tmp_path):
    asked = lab.simulate("error-driven", "(v - u)*s", wait=False)
    panel = {"title": "Weights", "summary": "They grow.", "series": []}
    Probe.objects.update(
        state="finished", finished_at="2026-01-01T00:00Z", panels=[panel],
        result={"value": -2.0, "panels": [], "has_recording": True},
    )  # fmt: skip
    arrays = {"student_spike_times_ms": np.array([1.0])}
    Recording.objects.create(probe_id=asked.id, content=pack(arrays))
    (done,) = lab.simulations(asked.rule)
    assert done.has_recording
    assert lab.panel(done, 0) == panel
    with zipfile.ZipFile(lab.recording(done, tmp_path / "trial.zip")) as archive:
        assert "spikes.csv" in archive.namelist()
    with pytest.raises(ValueError, match=r"not '\.mat'"):
        lab.recording(done, tmp_path / "trial.mat")


def test_links_labels_and_several_at_once(lab, mia):
    running, over = (
        experiment_of(mia, state, with_history=False)
        for state in (ExperimentState.RUNNING, ExperimentState.FINISHED)
    )
    changed = lab.change(over.pk, tags=["pilot"], visibility="private")
    assert (changed.tags, changed.visibility) == (("pilot",), "private")
    link = lab.create_link(over.pk, "referee", days=None)
    assert link.address.startswith("http")
    assert [(item.label, item.is_valid) for item in lab.links(over.pk)] == [("referee", True)]
    lab.revoke_link(over.pk, link)
    assert not ShareLink.objects.active().exists()
    refused = lab.control_several([running.pk, over.pk], "archive")
    assert list(refused) == [running.pk]
    assert lab.compare(over.pk)["groups"][0]["experiment"] == over.pk


def test_a_figure_is_asked_for_and_read(lab):
    assert [item["name"] for item in lab.figures()] == ["fig3", "fig4", "fig5"]
    asked = lab.simulate_figure("fig3", rule="2*E", wait=False)
    assert (asked.rule, asked.is_over, asked.progress) == (["2*E"], False, 0.0)
    with pytest.raises(TimeoutError):
        lab.simulate_figure("fig3", rule="2*E", progress=False, poll_s=0.01, timeout_s=0.05)
    assert lab.figure_panel("fig5", "5E")["key"] == "5E"


def test_operators_manage_people_and_workers(live_server, mia):
    olga = account("olga", Role.OPERATOR)
    Worker.objects.create(name="node1:1:1", host="node1")
    with client.connect(live_server.url, token_of(olga)) as lab:
        made = lab.create_account("nils", "viewer")
        assert lab.change_account(made, role="member").role == "member"
        names = [person.name for person in lab.people()]
        assert names == ["mia", "nils", "olga"]
        assert lab.order("node1", "drain")["is_drained"] is True
        assert lab.operation()["hosts"][0]["state"] == "drained"
        did = [entry["action"] for entry in lab.activity(who="olga")]
        assert did[:2] == ["role changed", "account created"]
    assert WorkerHost.objects.get().is_drained


def test_a_token_ends_itself(lab):
    (own,) = lab.tokens()
    lab.revoke_token(own)
    with pytest.raises(client.ApiError) as refused:
        lab.status()
    assert refused.value.status == 401
