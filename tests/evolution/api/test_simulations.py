"""Recordings, plots and lists of simulations through the API."""

from __future__ import annotations

import csv
import io
import zipfile

import h5py
import numpy as np
import pytest

from evolution.enums import ExperimentState, Visibility
from evolution.models import Probe, Recording, Rule
from evolution.services import sharing
from simulations.recordings import pack
from tests.evolution.api.cast import experiment_of

SPIKES_MS = [1.0, 2.5, 40.0]


@pytest.fixture
def simulation(member) -> dict:
    """A simulation that was answered, with what it has recorded."""
    body = {"learning_task": "error-driven", "expressions": ["(v - u)*s"]}
    asked = member("POST", "simulations/", body).json()
    Probe.objects.update(
        state="finished", finished_at="2026-01-01T00:00Z",
        result={"value": -2.0, "panels": [], "has_recording": True, "engine": "test"},
    )  # fmt: skip
    Recording.objects.create(
        probe_id=asked["id"], content=pack({"student_spike_times_ms": np.array(SPIKES_MS)})
    )
    return member("GET", f"simulations/{asked['id']}/").json()


def test_a_recording_is_taken_away_as_nwb_and_as_csv(other, simulation):
    assert simulation["has_recording"] is True
    path = f"simulations/{simulation['id']}/recording"
    nwb = other("GET", f"{path}.nwb")
    assert nwb.headers["Content-Type"] == "application/x-hdf5"
    with h5py.File(io.BytesIO(nwb.content)) as file:
        assert file["units/spike_times"][:] * 1000.0 == pytest.approx(SPIKES_MS)
    table = other("GET", f"{path}.zip")
    assert table.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(table.content)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("spikes.csv").decode())))
    (name,) = [name for name in rows[0] if name.startswith("time")]
    assert [float(row[name]) for row in rows] == pytest.approx(SPIKES_MS)


def test_there_is_no_other_form_and_no_recording_of_what_has_none(member, simulation):
    path = f"simulations/{simulation['id']}/recording"
    assert member("GET", f"{path}.mat").status_code == 404
    assert member("GET", f"{path}.nwb", Accept="text/csv").status_code == 406
    Recording.objects.all().delete()
    assert member("GET", f"{path}.zip").status_code == 404


def test_recordings_of_private_rules_are_not_there_for_others(member, other, simulation):
    Rule.objects.update(shared_at=None)
    for path in (f"simulations/{simulation['id']}/recording.zip",
                 f"rules/{simulation['rule']['id']}/simulations/",
                 f"rules/{simulation['rule']['id']}/shape/"):  # fmt: skip
        assert other("GET", path).status_code == 404, path


def test_the_simulations_of_a_rule_are_listed_whoever_asked(other, simulation):
    found = other("GET", f"rules/{simulation['rule']['id']}/simulations/").json()
    assert [item["id"] for item in found["results"]] == [simulation["id"]]
    assert other("GET", "simulations/").json()["count"] == 0


def test_the_shape_of_a_rule_is_its_own_function(member, simulation):
    shown = member("GET", f"rules/{simulation['rule']['id']}/shape/").json()
    assert shown
    assert all({"title", "summary", "series"} <= panel.keys() for panel in shown)


def test_a_private_rule_keeps_its_shape(member, other):
    experiment = experiment_of(member.user, ExperimentState.FINISHED)
    sharing.set_visibility(experiment, Visibility.PRIVATE, by=member.user)
    Rule.objects.update(shared_at=None)
    pk = experiment.runs.first().champion.rule_id
    assert member("GET", f"rules/{pk}/shape/").status_code == 200
    assert other("GET", f"rules/{pk}/shape/").status_code == 404
