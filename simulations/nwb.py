"""Recordings as NWB files (Neurodata Without Borders).

PyNWB takes seconds to load and much memory. Who serves pages has a file written by a process of its
own, :func:`nwb_in_own_process`.

References
----------
Rübel et al. (2022). The Neurodata Without Borders ecosystem for neurophysiological data science.
eLife 11:e78362.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulations.recordings import Recording, Spikes, Trace, absolute_ms, recording_of, unpack

if TYPE_CHECKING:
    from pynwb import NWBFile

#: NWB's unit and what one of ours is of it.
_SI = {"mV": ("volts", 1e-3), "pA": ("amperes", 1e-12), "ms": ("seconds", 1e-3)}
_NO_UNIT = ("n/a", 1.0)
_TIME_LIMIT_S = 120.0


class NwbError(RuntimeError):
    """The process that was to write a file has failed."""


def write_nwb(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Write a recording as an NWB file.

    Spikes are ``Units``: those of the output neurons are the file's own, those of the inputs are
    in the processing module ``inputs``. What changes with time is a ``TimeSeries`` among the
    acquisitions, in our units with NWB's factor to SI units. Everything else is scratch under the
    name that the learning task has given it, and ``about`` is in the notes, as JSON.

    Parameters
    ----------
    path : Path
    arrays : mapping of str to ndarray
        What the learning task has recorded.
    about : mapping of str to object
        ``description`` of the session in a sentence, ``identifier``, ``simulated_at`` (ISO 8601),
        ``learning_task``, ``rule``, ``seed``, ``parameters`` and ``software`` (names and versions).
    """
    from pynwb import NWBHDF5IO, NWBFile

    parameters = about.get("parameters", {})
    recording = recording_of(arrays)
    trial_ms = parameters.get("pattern_duration_ms")
    file = NWBFile(
        session_description=about["description"],
        identifier=about["identifier"],
        session_start_time=datetime.fromisoformat(about["simulated_at"]),
        experiment_description=f"Simulation of the plasticity rule {about['rule']}",
        keywords=["plasticity rule", "simulation", str(about["learning_task"])],
        notes=json.dumps(about, indent=2, ensure_ascii=False),
        source_script="Simulated with NEST by e2l.",
        source_script_file_name="e2l",
    )
    _add_outputs(file, recording, trial_ms)
    _add_inputs(file, recording, arrays)
    for trace in recording.traces:
        file.add_acquisition(_time_series(trace, trial_ms))
    _add_trials(file, recording, trial_ms)
    for name, array in recording.others.items():
        file.add_scratch(
            np.asarray(array, np.int8) if array.dtype == bool else array,
            name=name,
            description=f"{name}, as the learning task has recorded it",
        )
    with NWBHDF5IO(str(path), "w") as out:
        out.write(file)


def nwb_in_own_process(content: bytes, about: Mapping[str, Any]) -> bytes:
    """Return a packed recording as an NWB file that another process writes.

    Raises
    ------
    NwbError
        If it fails or takes too long.
    """
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / name for name in ("arrays.npz", "about.json", "recording.nwb")]
        paths[0].write_bytes(content)
        paths[1].write_text(json.dumps(about), encoding="utf-8")
        try:
            subprocess.run(  # noqa: S603  (our own module; nothing of a user is in the command)
                [sys.executable, "-m", "simulations.nwb", *map(str, paths)],
                cwd=Path(__file__).parents[1],
                check=True,
                capture_output=True,
                timeout=_TIME_LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            raise NwbError(f"Writing took longer than {_TIME_LIMIT_S:.0f} s.") from None
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise NwbError(" ".join(last) or "Writing has failed.") from None
        return paths[2].read_bytes()


def _add_outputs(file: NWBFile, recording: Recording, trial_ms: float | None) -> None:
    outputs = [item for item in recording.spikes if item.population != "input"]
    if not outputs:
        return
    file.add_unit_column("population", "neuron, or teacher and student")
    for item in outputs:
        file.add_unit(population=item.population, spike_times=_seconds(item, trial_ms))


def _add_inputs(file: NWBFile, recording: Recording, arrays: Mapping[str, np.ndarray]) -> None:
    """Add the spikes of the inputs, or of each pattern that was presented to them."""
    from pynwb.misc import Units

    found: list[tuple[dict[str, int], np.ndarray]] = []
    description = "Spikes of the inputs."
    columns = {"input": "Number of the input."}
    for item in recording.spikes:
        if item.population == "input":
            found += [
                ({"input": int(number)}, times)
                for number, times in _by_id(item.ids, item.times_ms * 1e-3)
            ]
    if "pattern_spike_times_ms" in arrays:
        description = (
            "Spikes of the inputs in each pattern, in seconds after it begins. The table of trials "
            "says which pattern was presented."
        )
        columns = {"pattern": "Number of the pattern.", **columns}
        for pattern, places in _by_id(arrays["pattern_ids"], np.arange(len(arrays["pattern_ids"]))):
            times_s = arrays["pattern_spike_times_ms"][places] * 1e-3
            found += [
                ({"pattern": int(pattern), "input": int(number)}, times)
                for number, times in _by_id(arrays["pattern_input_ids"][places], times_s)
            ]
    if not found:
        return
    units = Units(name="input_units", description=description)
    for name, text in columns.items():
        units.add_column(name, text)
    for numbers, times in found:
        units.add_unit(spike_times=times, **numbers)
    module = file.create_processing_module("inputs", "What the output neurons got.")
    module.add(units)


def _add_trials(file: NWBFile, recording: Recording, trial_ms: float | None) -> None:
    """Add the training trials of tasks that count time anew in each of them."""
    presented, rewards = (recording.others.get(name) for name in ("presented_patterns", "rewards"))
    if presented is None or rewards is None or trial_ms is None:
        return
    file.add_trial_column("pattern", "Number of the pattern that was presented.")
    file.add_trial_column("reward", "Reward at the end of the trial.")
    for trial, (pattern, reward) in enumerate(zip(presented, rewards, strict=False)):
        start_s = trial * trial_ms * 1e-3
        file.add_trial(
            start_time=start_s,
            stop_time=start_s + trial_ms * 1e-3,
            pattern=int(pattern),
            reward=float(reward),
        )


def _time_series(trace: Trace, trial_ms: float | None) -> Any:
    from pynwb import TimeSeries

    unit, conversion = _SI.get(trace.unit, _NO_UNIT)
    times_ms = absolute_ms(trace.times_ms, trace.trials, trial_ms)
    return TimeSeries(
        name=trace.name,
        description=f"{trace.name.replace('_', ' ')} of the trial"
        + (", one column for each input" if trace.values.ndim == 2 else ""),
        data=trace.values,
        unit=unit,
        conversion=conversion,
        **_time(times_ms),
    )


def _time(times_ms: np.ndarray) -> dict[str, Any]:
    """Return rate and start of times at equal distances, else the times themselves."""
    if len(times_ms) > 2:
        step_ms = (times_ms[-1] - times_ms[0]) / (len(times_ms) - 1)
        regular_ms = times_ms[0] + step_ms * np.arange(len(times_ms))
        if step_ms > 0 and np.allclose(times_ms, regular_ms, rtol=1e-12, atol=1e-9):
            return {"rate": 1e3 / step_ms, "starting_time": float(times_ms[0]) * 1e-3}
    return {"timestamps": times_ms * 1e-3}


def _seconds(spikes: Spikes, trial_ms: float | None) -> np.ndarray:
    return np.sort(absolute_ms(spikes.times_ms, spikes.trials, trial_ms)) * 1e-3


def _by_id(ids: np.ndarray, values: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return the values of each number, in the order of the numbers."""
    if not len(ids):
        return []
    order = np.argsort(ids, kind="stable")
    different, starts = np.unique(ids[order], return_index=True)
    return list(zip(different, np.split(values[order], starts[1:]), strict=True))


def main(arrays: str, about: str, out: str) -> None:
    """Write the NWB file of a packed recording."""
    write_nwb(
        Path(out),
        unpack(Path(arrays).read_bytes()),
        json.loads(Path(about).read_text(encoding="utf-8")),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
