"""Panels: what the traces of a trial show, decimated to what a plot needs.

A panel is plain JSON: title, labels of both axes with units, series and a summary in words. Lines
keep the extremes of each section, so that no spike of a curve is lost.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Points of a line, and of all lines of a panel together.
MAX_POINTS = 1600
MAX_POINTS_OF_PANEL = 8000
#: Spikes of a raster.
MAX_SPIKES = 5000
_MAX_LINES = 12
_N_BINS = 60


def panels_of(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return the panels for what a learning task has recorded, in the order of reading."""
    found = [
        *_rasters(arrays),
        *_potentials(arrays),
        *_weights(arrays),
        *_eligibilities(arrays),
        *_success(arrays),
    ]
    return [panel for panel in found if any(series["x"] for series in panel["series"])]


def decimate(x: np.ndarray, y: np.ndarray, n_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return at most ``n_points`` points of a curve: least and largest of each section.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
    n_points : int
        An even number.
    """
    n = len(x)
    if n <= n_points:
        return x, y
    edges = np.linspace(0, n, n_points // 2 + 1).astype(int)
    chosen: list[int] = []
    for start, end in pairwise(edges):
        part = y[start:end]
        # A section without a number is a gap.
        low, high = (
            (start + int(np.nanargmin(part)), start + int(np.nanargmax(part)))
            if np.isfinite(part).any()
            else (start, end - 1)
        )
        chosen += sorted((low, high))
    return x[chosen], y[chosen]


def _rasters(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    panels = []
    if "input_spike_times_ms" in arrays:
        panels += _input_raster(
            arrays["input_spike_times_ms"], arrays["input_spike_ids"], "Input spikes", "time (ms)"
        )
    elif "pattern_spike_times_ms" in arrays:
        first = arrays["pattern_ids"] == arrays["pattern_ids"].min(initial=0)
        panels += _input_raster(
            arrays["pattern_spike_times_ms"][first],
            arrays["pattern_input_ids"][first],
            "Input spikes of the first pattern",
            "time in the training trial (ms)",
        )
    if "output_spike_times_ms" in arrays:
        panels += _input_raster(
            arrays["output_spike_times_ms"],
            arrays["output_spike_trials"],
            "Output spikes in the training trials",
            "time in the training trial (ms)",
            rows="training trial",
        )
    outputs = {
        name: arrays[key]
        for name, key in (
            ("neuron", "spike_times_ms"),
            ("teacher", "teacher_spike_times_ms"),
            ("student", "student_spike_times_ms"),
        )
        if key in arrays
    }
    if any(len(times) for times in outputs.values()):
        end = max(float(times.max()) for times in outputs.values() if len(times))
        series = []
        for name, times in outputs.items():
            counts, edges = np.histogram(times, bins=_N_BINS, range=(0.0, end))
            rate_hz = counts / ((edges[1] - edges[0]) * 1e-3)
            series.append(_series(name, (edges[:-1] + edges[1:]) / 2, rate_hz))
        words = ", ".join(f"{name} {len(times)}" for name, times in outputs.items())
        panels.append(
            _panel("Output rate", "line", "time (ms)", "rate (1/s)", series, f"Spikes: {words}.")
        )
    return panels


def _input_raster(
    times: np.ndarray, ids: np.ndarray, title: str, x_label: str, rows: str = "input"
) -> list[dict[str, Any]]:
    if not len(times):
        return []
    order = np.argsort(times, kind="stable")
    times, ids = times[order], ids[order]
    start, end = float(times[0]), float(times[-1])
    n_rows = len(np.unique(ids))
    shown = slice(None)
    words = ""
    if len(times) > MAX_SPIKES:
        if rows == "input":
            shown = slice(len(times) - MAX_SPIKES, None)
            words = f" The raster shows the last {end - times[-MAX_SPIKES]:.4g} ms."
        else:
            shown = np.linspace(0, len(times) - 1, MAX_SPIKES).astype(int)
            words = f" The raster shows {MAX_SPIKES} of them."
    summary = f"{len(times)} spikes in {n_rows} rows.{words}"
    raster = _panel(
        title, "raster", x_label, rows, [_series(title, times[shown], ids[shown])], summary
    )
    counts, edges = np.histogram(times, bins=_N_BINS, range=(start, max(end, start + 1.0)))
    per_s = counts / ((edges[1] - edges[0]) * 1e-3) / n_rows
    psth = _panel(
        f"{title}: rate (PSTH)",
        "line",
        x_label,
        f"rate per {rows} (1/s)",
        [_series("rate", (edges[:-1] + edges[1:]) / 2, per_s)],
        f"Mean rate {per_s.mean():.4g}/s, at most {per_s.max():.4g}/s in bins of "
        f"{edges[1] - edges[0]:.4g} ms.",
    )
    return [raster, psth]


def _potentials(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    panels = []
    curves = {
        name: arrays[key]
        for name, key in (
            ("teacher", "teacher_potential_mv"),
            ("student", "student_potential_mv"),
        )
        if key in arrays
    }
    if curves:
        panels.append(_lines("Membrane potential", arrays["times_ms"], curves, "potential (mV)"))
    elif "potential_trials" in arrays and len(arrays["potential_trials"]):
        trials = arrays["potential_trials"]
        chosen = {f"training trial {trial}": trials == trial for trial in _some(trials, 4)}
        series = [
            _series(name, arrays["potential_times_ms"][own], arrays["potential_mv"][own])
            for name, own in chosen.items()
        ]
        values = arrays["potential_mv"]
        panels.append(
            _panel(
                "Membrane potential", "line", "time in the training trial (ms)",
                "potential (mV)", series,
                f"Between {values.min():.4g} and {values.max():.4g} mV.",
            )
        )  # fmt: skip
    elif "potential_mv" in arrays:
        panels.append(
            _lines(
                "Membrane potential while learning",
                arrays["times_ms"],
                {"potential": arrays["potential_mv"]},
                "potential (mV)",
            )
        )
    if "replay_potential_mv" in arrays:
        panels.append(
            _lines(
                "Membrane potential in the replay, weights frozen",
                arrays["replay_times_ms"],
                {"potential": arrays["replay_potential_mv"]},
                "potential (mV)",
            )
        )
    return panels


def _weights(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    name, unit = ("weights_pa", "pA") if "weights_pa" in arrays else ("weights_mv", "mV")
    weights = arrays.get(name)
    if weights is None or weights.ndim != 2 or not weights.size:
        return []
    is_trials = "weight_trials" in arrays
    x = arrays["weight_trials" if is_trials else "weight_times_ms"]
    x_label = "training trial" if is_trials else "time (ms)"
    label = f"weight ({unit})"
    members = arrays.get("is_pattern_input")
    if members is not None:
        return [_weights_of_groups(x, weights, members, label, x_label)]
    chosen = _some(np.argsort(weights[-1], kind="stable"), _MAX_LINES)
    curves = {f"input {index}": weights[:, index] for index in chosen}
    panel = _lines("Weights", x, curves, label, x_label)
    if weights.shape[1] > _MAX_LINES:
        panel["summary"] += f" {_MAX_LINES} of {weights.shape[1]} weights are drawn."
    teacher = arrays.get("teacher_weights_pa")
    if teacher is not None:
        ends = np.array([x[0], x[-1]], float)
        panel["series"] += [
            _series(f"teacher {index}", ends, np.full(2, teacher[index]), dashed_like=place)
            for place, index in enumerate(chosen)
        ]
        panel["summary"] += " Dashed: the weights of the teacher."
    return [panel]


def _weights_of_groups(
    x: np.ndarray, weights: np.ndarray, members: np.ndarray, label: str, x_label: str
) -> dict[str, Any]:
    """Return the panel of medians and quartiles of the inputs in and outside of the pattern."""
    groups = {
        name: weights[:, own]
        for name, own in (("pattern inputs", members), ("other inputs", ~members))
        if own.any()
    }
    medians = {name: np.median(values, axis=1) for name, values in groups.items()}
    panel = _lines("Weights", x, medians, label, x_label)
    for place, (name, values) in enumerate(groups.items()):
        for share, word in ((0.25, "lower quartile"), (0.75, "upper quartile")):
            curve = decimate(np.asarray(x, float), np.quantile(values, share, axis=1), MAX_POINTS)
            panel["series"].append(_series(f"{name}, {word}", *curve, dashed_like=place))
    panel["summary"] = f"Medians of the inputs. {panel['summary']} Dashed: quartiles."
    return panel


def _eligibilities(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    traces = arrays.get("eligibility")
    if traces is None or not traces.size:
        return []
    chosen = _some(np.argsort(np.abs(traces).max(axis=0), kind="stable"), _MAX_LINES)
    curves = {f"input {index}": traces[:, index] for index in chosen}
    title = "Eligibility traces at the end of training trials"
    panel = _lines(title, arrays["weight_trials"], curves, "eligibility trace", "training trial")
    if traces.shape[1] > _MAX_LINES:
        panel["summary"] += f" {_MAX_LINES} of {traces.shape[1]} traces are drawn."
    return [panel]


def _success(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    panels = []
    if "error_mv" in arrays:
        panels.append(
            _lines("Error", arrays["error_times_ms"], {"error": arrays["error_mv"]}, "error (mV)")
        )
    rewards = arrays.get("rewards")
    if rewards is not None and len(rewards):
        window = max(1, min(50, len(rewards) // 4))
        mean = np.convolve(rewards, np.ones(window) / window, mode="valid")
        trials = np.arange(window - 1, len(rewards))
        panel = _lines(
            "Reward", trials, {f"mean of {window} trials": mean}, "reward", "training trial"
        )
        panel["summary"] = (
            f"Right in {np.mean(rewards > 0):.0%} of {len(rewards)} training trials, "
            f"in {np.mean(rewards[-window:] > 0):.0%} of the last {window}."
        )
        panels.append(panel)
    return panels


def _lines(
    title: str,
    x: np.ndarray,
    curves: Mapping[str, np.ndarray],
    label: str,
    x_label: str = "time (ms)",
) -> dict[str, Any]:
    n_points = min(MAX_POINTS, MAX_POINTS_OF_PANEL // max(1, len(curves)) // 2 * 2)
    series = [
        _series(name, *decimate(np.asarray(x, float), np.asarray(y, float), n_points))
        for name, y in curves.items()
    ]
    values = np.concatenate([np.asarray(y, float) for y in curves.values()])
    values = values[np.isfinite(values)]
    summary = (
        f"Between {values.min():.4g} and {values.max():.4g}; "
        f"at the end {', '.join(f'{name} {y[-1]:.4g}' for name, y in list(curves.items())[:4])}."
        if values.size
        else "There is no finite value."
    )
    return _panel(title, "line", x_label, label, series, summary)


def _some(values: np.ndarray, n: int) -> list[int]:
    """Return at most ``n`` different values, evenly spread with both ends, in their order."""
    different = list(dict.fromkeys(int(value) for value in values))
    places = np.unique(np.linspace(0, len(different) - 1, min(n, len(different))).astype(int))
    return [different[place] for place in places]


def _series(
    name: str, x: np.ndarray, y: np.ndarray, *, dashed_like: int | None = None
) -> dict[str, Any]:
    """Return a series; one that belongs to another one has its colour, dashed."""
    series: dict[str, Any] = {"name": name, "x": _numbers(x), "y": _numbers(y)}
    if dashed_like is not None:
        series["dashed_like"] = dashed_like
    return series


def _numbers(values: np.ndarray) -> list[float | None]:
    # JSON has no NaN; six digits are more than a screen shows.
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in np.asarray(values, float)]


def _panel(
    title: str, kind: str, x_label: str, y_label: str, series: list[dict[str, Any]], summary: str
) -> dict[str, Any]:
    return {
        "title": title,
        "kind": kind,
        "x_label": x_label,
        "y_label": y_label,
        "series": series,
        "summary": summary,
    }
