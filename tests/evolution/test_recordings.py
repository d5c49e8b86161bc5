"""Recordings of simulations on demand: kept by the worker, taken away by page and command."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.urls import reverse

from evolution.models import Probe, Recording
from evolution.services import notes, probes, upkeep
from nest_build.rules import PlasticityRule
from simulations.learning_tasks import get_learning_task
from simulations.recordings import unpack
from tests.docs.pages import PAGES, code_blocks

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client

    from simulations.learning_tasks import TrialResult

pytestmark = [pytest.mark.django_db, pytest.mark.nest]
RULE = "(v - u)*s"


def simulated_again(seed: int) -> TrialResult:
    """Return the trial that the tests have simulated, from a simulation of its own."""
    task = get_learning_task("error-driven")
    rule = PlasticityRule.parse(task.signature, [RULE])
    parameters = task.presets["demo"].task_parameters
    (shown,) = task.simulate_trial([rule], parameters, seed=seed, record_traces=True)
    return shown


def probe_of(text: str = RULE) -> Probe:
    task = get_learning_task("error-driven")
    rule = notes.add_to_catalogue(PlasticityRule.parse(task.signature, [text]).canonical())
    probe = probes.request_probe(rule, task, preset="demo", owner=None)
    assert probes.run_probe(probe.pk, worker="test")
    probe.refresh_from_db()
    return probe


def test_the_raw_recording_can_be_taken_away(
    client: Client, django_user_model: Any, tmp_path
) -> None:
    from pynwb import NWBHDF5IO, validate

    client.force_login(django_user_model.objects.create_user("ann"))
    probe = probe_of()
    expected = simulated_again(probe.seed)
    assert probe.result["value"] == expected.value
    kept = unpack(bytes(Recording.objects.get(probe=probe).content))
    for name, array in expected.traces.arrays.items():
        np.testing.assert_array_equal(kept[name], array)
    addresses = [
        reverse("evolution:probe-recording", args=[probe.pk, kind]) for kind in ("nwb", "zip")
    ]
    html = client.get(reverse("evolution:probe", args=[probe.pk])).content.decode()
    assert all(f'href="{address}"' in html for address in addresses)
    path = tmp_path / "x.nwb"
    path.write_bytes(client.get(addresses[0]).content)
    found = validate(path=str(path))
    assert (found[0] if isinstance(found, tuple) else found) == []
    with NWBHDF5IO(str(path), "r") as opened:
        file = opened.read()
        about = json.loads(file.notes)
        potential = file.acquisition["student_potential"].data[:]
    np.testing.assert_array_equal(potential, expected.traces.arrays["student_potential_mv"])
    assert (about["rule"], about["seed"]) == (RULE, probe.seed)
    assert about["parameters"] == probe.task_parameters
    assert about["software"].keys() >= {"e2l", "nest-simulator", "simulated with"}
    with zipfile.ZipFile(io.BytesIO(client.get(addresses[1]).content)) as archive:
        assert {"about.json", "spikes.csv", "weights.csv"} <= set(archive.namelist())


def test_where_nothing_was_recorded_nothing_is_offered(client: Client, django_user_model) -> None:
    client.force_login(django_user_model.objects.create_user("ann"))
    probe = probe_of()
    Recording.objects.all().delete()
    Probe.objects.update(result={**probe.result, "has_recording": False})
    for kind in ("nwb", "zip", "exe"):
        address = reverse("evolution:probe-recording", args=[probe.pk, kind])
        assert client.get(address).status_code == 404
    page = client.get(reverse("evolution:probe", args=[probe.pk])).content.decode()
    assert "full resolution" not in page


def test_an_old_recording_is_removed_until_somebody_asks_again(
    client: Client, django_user_model, settings
) -> None:
    client.force_login(django_user_model.objects.create_user("ann"))
    old, new = probe_of(), probe_of("v - u")
    recorded = bytes(Recording.objects.get(probe=old).content)
    Probe.objects.filter(pk=old.pk).update(finished_at=Now() - timedelta(days=31))
    for days, n_left in ((0, 2), (32, 2), (30, 1)):
        settings.E2L_RECORDING_DAYS = days
        upkeep.keep_up()
        assert Recording.objects.count() == n_left
    assert Recording.objects.get().probe == new
    address = reverse("evolution:probe-recording", args=[old.pk, "zip"])
    assert client.get(address).status_code == 404
    page = client.get(reverse("evolution:probe", args=[old.pk])).content.decode()
    assert "was removed to save space" in page
    assert address not in page
    # Value and plots are still there, and a simulation brings back the same recording.
    value, panels = old.result["value"], old.panels
    old.refresh_from_db()
    assert (old.result["value"], old.panels) == (value, panels)
    assert probe_of().pk == old.pk
    assert bytes(Recording.objects.get(probe=old).content) == recorded
    page = client.get(reverse("evolution:probe", args=[old.pk])).content.decode()
    assert "was removed" not in page
    assert address in page


def test_the_command_writes_the_same(tmp_path: Path) -> None:
    from pynwb import NWBHDF5IO

    paths = [tmp_path / name for name in ("trial.nwb", "x.zip")]
    call_command(
        *("evaluate", "error-driven", RULE, "--trials", "1", "--seed", "77", "--json"),
        *("--nwb", str(paths[0]), "--csv", str(paths[1])),
        stdout=io.StringIO(),
    )
    with NWBHDF5IO(str(paths[0]), "r") as opened:
        weights = opened.read().acquisition["weights"].data[:]
    np.testing.assert_array_equal(weights, simulated_again(77).traces.arrays["weights_pa"])
    assert zipfile.is_zipfile(paths[1])
    # What docs/how_to/take_data_away.md reads of it.
    (block,) = code_blocks(PAGES["docs/how_to/take_data_away.md"], "python")
    read = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "spike_times" in read.stdout
    with pytest.raises(CommandError, match="There is no folder") as caught:
        call_command("evaluate", "error-driven", RULE, "--nwb", str(tmp_path / "a" / "x.nwb"))
    assert caught.value.returncode == 2
