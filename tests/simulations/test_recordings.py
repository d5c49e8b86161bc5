"""Recordings: kept as they are, and as tables and NWB files with the very same values."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from simulations import recordings
from simulations.learning_tasks import get_learning_task
from simulations.nwb import NwbError, nwb_in_own_process, write_nwb
from simulations.recordings import csv_archive, name_and_unit, pack, recording_of, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pynwb import NWBFile

Arrays = dict[str, np.ndarray]

#: As short as each learning task can be.
SHORT: dict[str, dict[str, Any]] = {
    "error-driven": {"t_sim_ms": 400.0},
    "reward-driven": {"n_training_trials": 6},
    "correlation-driven": {"t_sim_ms": 2000.0, "replay_ms": 1000.0, "n_inputs": 40},
}


@pytest.fixture(scope="module", params=sorted(SHORT))
def simulated(request: pytest.FixtureRequest) -> tuple[str, Arrays, dict[str, Any]]:
    """A recorded trial of a learning task, and what is said about it."""
    task = get_learning_task(request.param)
    preset = task.presets["demo"]
    parameters = preset.task_parameters.with_changes(SHORT[task.name])
    rule = task.canonical_baselines[0][1]
    (shown,) = task.simulate_trial([rule], parameters, seed=preset.seed, record_traces=True)
    about = {
        "description": f"One trial of {task.name}",
        "identifier": f"test-{task.name}",
        "simulated_at": "2026-01-02T03:04:05+00:00",
        "learning_task": task.name,
        "rule": " ; ".join(rule.texts),
        "seed": preset.seed,
        "parameters": parameters.to_mapping(),
        "software": {"e2l": "0.1.0"},
    }
    return task.name, dict(shown.traces.arrays), about


pytestmark = pytest.mark.nest


def test_what_is_kept_comes_back(simulated) -> None:
    _, arrays, _ = simulated
    found = unpack(pack(arrays))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_what_is_too_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = {"noise": np.random.default_rng(1).random(1000)}
    assert pack(noise) is not None
    assert pack({}) is None
    monkeypatch.setattr(recordings, "MAX_BYTES", 5000)
    assert pack(noise) is None


def test_nothing_that_was_recorded_is_left_out(simulated) -> None:
    _, arrays, _ = simulated
    recording = recording_of(arrays)
    n_values = sum(array.size for array in recording.others.values())
    n_values += sum(trace.values.size for trace in recording.traces)
    n_values += sum(spikes.times_ms.size for spikes in recording.spikes)
    axes = {"times_ms", "potential_times_ms", "potential_trials", "replay_times_ms",
            "error_times_ms", "weight_times_ms", "weight_trials", "input_spike_ids",
            "output_spike_trials"}  # fmt: skip
    assert n_values == sum(array.size for name, array in arrays.items() if name not in axes)
    assert not axes & recording.others.keys()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("weights_pa", ("weights", "pA")), ("eligibility", ("eligibility", "")),
     ("a_b_mv", ("a_b", "mV")), ("pa", ("pa", ""))],
)  # fmt: skip
def test_names_carry_units(name: str, expected: tuple[str, str]) -> None:
    assert name_and_unit(name) == expected


# --- CSV ----------------------------------------------------------------------------------------


def tables(content: bytes) -> tuple[dict[str, Any], dict[str, list[list[str]]]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        about = json.loads(archive.read("about.json"))
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        return about, {
            name: list(csv.reader(io.StringIO(archive.read(name).decode()))) for name in names
        }


def column(table: list[list[str]], name: str) -> np.ndarray:
    header, *rows = table
    place = header.index(name)
    return np.array([float(row[place]) for row in rows])


def test_csv_has_the_values_of_the_simulation(simulated) -> None:
    name, arrays, about = simulated
    said, found = tables(csv_archive(arrays, about))
    assert said == about
    spikes = [row for row in found["spikes.csv"][1:] if row[0] == "input"]
    if "input_spike_times_ms" in arrays:
        np.testing.assert_array_equal(
            [float(row[3]) for row in spikes], arrays["input_spike_times_ms"]
        )
        np.testing.assert_array_equal([int(row[1]) for row in spikes], arrays["input_spike_ids"])
    key, unit = ("weights_mv", "mV") if name == "correlation-driven" else ("weights_pa", "pA")
    for place in range(arrays[key].shape[1]):
        values = column(found["weights.csv"], f"weights {place} ({unit})")
        np.testing.assert_array_equal(values, arrays[key][:, place])
    if name == "error-driven":
        table = found["student_potential.csv"]
        assert table[0] == ["time (ms)", "student_potential (mV)"]
        np.testing.assert_array_equal(column(table, "time (ms)"), arrays["times_ms"])
        np.testing.assert_array_equal(
            column(table, "student_potential (mV)"), arrays["student_potential_mv"]
        )
    if name == "reward-driven":
        table = found["potential.csv"]
        assert table[0] == ["training trial", "time (ms)", "potential (mV)"]
        np.testing.assert_array_equal(column(table, "potential (mV)"), arrays["potential_mv"])
        np.testing.assert_array_equal(column(found["rewards.csv"], "rewards"), arrays["rewards"])


# --- NWB ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nwb(simulated, tmp_path_factory) -> Iterator[tuple[str, Arrays, dict[str, Any], NWBFile]]:
    from pynwb import NWBHDF5IO, validate

    name, arrays, about = simulated
    path: Path = tmp_path_factory.mktemp("nwb") / "x.nwb"
    write_nwb(path, arrays, about)
    found = validate(path=str(path))
    assert (found[0] if isinstance(found, tuple) else found) == []
    with NWBHDF5IO(str(path), "r") as file:
        yield name, arrays, about, file.read()


def trains(units: Any) -> Mapping[Any, np.ndarray]:
    """Return the spike times of each unit by the values of its other columns."""
    frame = units.to_dataframe()
    names = [name for name in frame.columns if name != "spike_times"]
    return {
        tuple(row[name] for name in names): np.asarray(row["spike_times"])
        for _, row in frame.iterrows()
    }


def test_nwb_says_what_was_simulated(nwb) -> None:
    _, _, about, file = nwb
    assert file.session_description == about["description"]
    assert file.identifier == about["identifier"]
    assert json.loads(file.notes) == about
    assert about["rule"] in file.experiment_description
    assert file.session_start_time.isoformat() == about["simulated_at"]


def test_nwb_has_the_spikes_of_the_simulation(nwb) -> None:
    name, arrays, about, file = nwb
    inputs = trains(file.processing["inputs"]["input_units"])
    if name == "reward-driven":
        for (pattern, number), times_s in inputs.items():
            own = (arrays["pattern_ids"] == pattern) & (arrays["pattern_input_ids"] == number)
            np.testing.assert_array_equal(times_s, arrays["pattern_spike_times_ms"][own] * 1e-3)
        assert sum(map(len, inputs.values())) == len(arrays["pattern_spike_times_ms"])
        trial_ms = about["parameters"]["pattern_duration_ms"]
        expected_ms = arrays["output_spike_trials"] * trial_ms + arrays["output_spike_times_ms"]
        np.testing.assert_allclose(trains(file.units)["neuron",], np.sort(expected_ms) * 1e-3)
        return
    for (number,), times_s in inputs.items():
        own = arrays["input_spike_ids"] == number
        np.testing.assert_array_equal(times_s, arrays["input_spike_times_ms"][own] * 1e-3)
    assert sum(map(len, inputs.values())) == len(arrays["input_spike_times_ms"])
    outputs = trains(file.units)
    if name == "error-driven":
        assert outputs.keys() == {("teacher",), ("student",)}
    else:
        np.testing.assert_array_equal(outputs["neuron",], arrays["spike_times_ms"] * 1e-3)


def test_nwb_has_the_traces_of_the_simulation(nwb) -> None:
    name, arrays, _, file = nwb
    keys = {
        "error-driven": ["student_potential_mv", "teacher_potential_mv", "error_mv", "weights_pa"],
        "reward-driven": ["potential_mv", "weights_pa", "eligibility"],
        "correlation-driven": ["potential_mv", "replay_potential_mv", "weights_mv"],
    }[name]
    units = {"mV": ("volts", 1e-3), "pA": ("amperes", 1e-12), "": ("n/a", 1.0)}
    assert file.acquisition.keys() == {name_and_unit(key)[0] for key in keys}
    for key in keys:
        short, unit = name_and_unit(key)
        series = file.acquisition[short]
        np.testing.assert_array_equal(series.data[:], arrays[key])
        assert (series.unit, series.conversion) == units[unit]
    if name == "error-driven":
        series = file.acquisition["student_potential"]
        assert series.timestamps is None
        times_ms = 1e3 * (series.starting_time + np.arange(len(series.data)) / series.rate)
        np.testing.assert_allclose(times_ms, arrays["times_ms"], rtol=1e-12)


def test_nwb_has_everything_else_under_its_name(nwb) -> None:
    name, arrays, about, file = nwb
    for key, array in recording_of(arrays).others.items():
        np.testing.assert_array_equal(file.scratch[key].data[:], array)
    if name == "reward-driven":
        frame = file.trials.to_dataframe()
        np.testing.assert_array_equal(frame["reward"], arrays["rewards"])
        np.testing.assert_array_equal(frame["pattern"], arrays["presented_patterns"])
        trial_s = about["parameters"]["pattern_duration_ms"] * 1e-3
        np.testing.assert_allclose(frame["stop_time"] - frame["start_time"], trial_s)


@pytest.mark.parametrize("simulated", ["error-driven"], indirect=True)
def test_another_process_writes_the_same(simulated, tmp_path: Path) -> None:
    from pynwb import NWBHDF5IO

    _, arrays, about = simulated
    path = tmp_path / "x.nwb"
    path.write_bytes(nwb_in_own_process(pack(arrays), about))
    with NWBHDF5IO(str(path), "r") as file:
        found = file.read().acquisition["weights"].data[:]
    np.testing.assert_array_equal(found, arrays["weights_pa"])


def test_what_cannot_be_written_is_said() -> None:
    with pytest.raises(NwbError, match=r"pickle|zip|magic"):
        nwb_in_own_process(b"nonsense", {})
