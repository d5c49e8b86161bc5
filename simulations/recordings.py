"""Recordings: what a simulated trial has recorded, as it is kept and as tables.

Learning tasks record arrays whose names carry their unit (see
:class:`simulations.learning_tasks.Traces`). Here they are told apart: spikes, what changes with
time, and everything else. Some tasks count time anew in each training trial; with the duration of
a training trial it is that of the whole simulation.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

#: The most bytes of a recording that is kept, packed.
MAX_BYTES = 32 * 2**20

#: Population, and arrays with times, numbers within the population and training trials.
_SPIKES = (
    ("input", "input_spike_times_ms", "input_spike_ids", None),
    ("neuron", "spike_times_ms", None, None),
    ("neuron", "output_spike_times_ms", None, "output_spike_trials"),
    ("teacher", "teacher_spike_times_ms", None, None),
    ("student", "student_spike_times_ms", None, None),
)
#: Values, and the arrays with times and training trials that they may belong to.
_TRACES = (
    ("teacher_potential_mv", ("times_ms", None)),
    ("student_potential_mv", ("times_ms", None)),
    ("potential_mv", ("potential_times_ms", "potential_trials"), ("times_ms", None)),
    ("replay_potential_mv", ("replay_times_ms", None)),
    ("error_mv", ("error_times_ms", None)),
    ("weights_pa", ("weight_times_ms", None), (None, "weight_trials")),
    ("weights_mv", ("weight_times_ms", None), (None, "weight_trials")),
    ("eligibility", (None, "weight_trials")),
)
_UNITS = {"mv": "mV", "pa": "pA", "ms": "ms", "hz": "1/s"}


@dataclass(frozen=True)
class Spikes:
    """The spikes of a population.

    Attributes
    ----------
    times_ms : ndarray of shape (n,)
    ids : ndarray of shape (n,)
        Number of the neuron or input within the population.
    trials : ndarray of shape (n,) or None
        Training trial in which the times are counted.
    """

    population: str
    times_ms: np.ndarray
    ids: np.ndarray
    trials: np.ndarray | None = None


@dataclass(frozen=True)
class Trace:
    """A quantity that changes with time.

    Attributes
    ----------
    values : ndarray of shape (n,) or (n, n_inputs)
    times_ms : ndarray of shape (n,) or None
        None where there is one value for each training trial.
    trials : ndarray of shape (n,) or None
        Training trial in which the times are counted.
    """

    name: str
    unit: str
    values: np.ndarray
    times_ms: np.ndarray | None
    trials: np.ndarray | None = None


@dataclass(frozen=True)
class Recording:
    """Everything that was recorded.

    Attributes
    ----------
    others : dict of str to ndarray
        What is neither spikes nor traces, under the names of the learning task.
    """

    spikes: tuple[Spikes, ...]
    traces: tuple[Trace, ...]
    others: Mapping[str, np.ndarray]


def recording_of(arrays: Mapping[str, np.ndarray]) -> Recording:
    """Tell apart what a learning task has recorded."""
    used: set[str] = set()
    spikes = []
    for population, times, ids, trials in _SPIKES:
        if times in arrays and (trials is None or trials in arrays):
            count = len(arrays[times])
            used.update(filter(None, (times, ids, trials)))
            spikes.append(
                Spikes(
                    population,
                    arrays[times],
                    arrays[ids] if ids else np.zeros(count, np.int64),
                    arrays[trials] if trials else None,
                )
            )
    traces = []
    for values, *axes in _TRACES:
        for times, trials in axes:
            if values in arrays and all(name in arrays for name in (times, trials) if name):
                used.update(filter(None, (values, times, trials)))
                name, unit = name_and_unit(values)
                traces.append(
                    Trace(
                        name,
                        unit,
                        arrays[values],
                        arrays[times] if times else None,
                        arrays[trials] if trials else None,
                    )
                )
                break
    others = {name: array for name, array in arrays.items() if name not in used}
    return Recording(tuple(spikes), tuple(traces), others)


def name_and_unit(name: str) -> tuple[str, str]:
    """Split ``weights_pa`` into ``weights`` and ``pA``; the unit of pure numbers is empty."""
    words, _, last = name.rpartition("_")
    return (words, _UNITS[last]) if words and last in _UNITS else (name, "")


def absolute_ms(
    times_ms: np.ndarray | None, trials: np.ndarray | None, trial_ms: float | None
) -> np.ndarray:
    """Return times since the first training trial began.

    Parameters
    ----------
    trial_ms : float or None
        Duration of a training trial.
    """
    if trials is None:
        return np.asarray(times_ms, float)
    start_ms = np.asarray(trials, float) * (trial_ms or 1.0)
    return start_ms if times_ms is None else start_ms + times_ms


# --- keeping ------------------------------------------------------------------------------------


def pack(arrays: Mapping[str, np.ndarray]) -> bytes | None:
    """Return the arrays in NumPy's compressed format, None where they are too large to be kept."""
    if not arrays or sum(array.nbytes for array in arrays.values()) > 8 * MAX_BYTES:
        return None
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue() if content.tell() <= MAX_BYTES else None


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays that were packed; nothing but numbers is read."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


# --- tables -------------------------------------------------------------------------------------


def csv_archive(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> bytes:
    """Return a zip archive with one CSV file for the spikes and one for each other quantity.

    Parameters
    ----------
    about : mapping of str to object
        Rule, learning task, parameters, seed and software, for ``about.json``.
    """
    recording = recording_of(arrays)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("about.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
        archive.writestr("spikes.csv", _csv(*_spike_table(recording)))
        for trace in recording.traces:
            archive.writestr(f"{trace.name}.csv", _csv(*_trace_table(trace)))
        for name, array in recording.others.items():
            if re.fullmatch("[A-Za-z0-9_]{1,80}", name) and array.ndim <= 2:
                archive.writestr(f"{name}.csv", _csv(*_plain_table(name, array)))
    return content.getvalue()


def _spike_table(recording: Recording) -> tuple[list[str], Iterator[list[Any]]]:
    def rows() -> Iterator[list[Any]]:
        for item in recording.spikes:
            trials = [""] * len(item.ids) if item.trials is None else item.trials.tolist()
            for trial, number, time in zip(
                trials, item.ids.tolist(), item.times_ms.tolist(), strict=True
            ):
                yield [item.population, number, trial, time]

    return ["population", "number", "training trial", "time (ms)"], rows()


def _trace_table(trace: Trace) -> tuple[list[str], Iterator[list[Any]]]:
    axes = {"training trial": trace.trials, "time (ms)": trace.times_ms}
    known = {name: axis.tolist() for name, axis in axes.items() if axis is not None}
    headers, rows = _plain_table(trace.name, trace.values, trace.unit)
    return [*known, *headers[1:]], (
        [*places, *row[1:]] for *places, row in zip(*known.values(), rows, strict=True)
    )


def _plain_table(
    name: str, array: np.ndarray, unit: str | None = None
) -> tuple[list[str], Iterator[list[Any]]]:
    if unit is None:
        name, unit = name_and_unit(name)
    suffix = f" ({unit})" if unit else ""
    if array.ndim == 2:
        headers = [f"{name} {place}{suffix}" for place in range(array.shape[1])]
        rows = ([index, *row] for index, row in enumerate(array.tolist()))
    else:
        headers = [f"{name}{suffix}"]
        rows = ([index, value] for index, value in enumerate(np.atleast_1d(array).tolist()))
    return ["index", *headers], rows


def _csv(headers: list[str], rows: Iterator[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(headers)
    writer.writerows(rows)
    return text.getvalue()
