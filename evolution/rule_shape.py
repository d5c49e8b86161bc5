"""The shape of a rule: panels of slices through it, or its window of spike timing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nest_build.rules import parse
from simulations.stdp_window import pair_window

if TYPE_CHECKING:
    from evolution.models import Rule
    from simulations.learning_tasks import LearningTask

_N_POINTS = 121
#: Time constant of the spike traces in the window, in ms, as in the paper.
TAU_MS = 20.0
#: Normalized weights for which the window is drawn.
WEIGHTS = (0.1, 0.3, 0.5, 0.7, 0.9)
# Where inputs are looked at: potentials around rest at -70 mV, traces from zero.
_RANGES = {"v": (-75.0, -55.0), "u": (-75.0, -55.0), "s": (0.0, 5.0), "E": (0.0, 1.0)}
_CONSTANTS = {"v": -65.0, "u": -65.0}
# For which values of another input slices along an input are drawn.
_PARAMETERS = {
    ("v", "u", "s"): {"v": ("u", (-70.0, -65.0, -60.0)), "s": ("v", (-70.0, -65.0, -60.0))},
    ("R", "E"): {"E": ("R", (-1.0, 1.0))},
}


def shape_panels(rule: Rule, learning_task: LearningTask | None) -> list[dict[str, Any]]:
    """Return what the rule looks like, one panel per view.

    Parameters
    ----------
    rule : Rule
    learning_task : LearningTask or None
        One of the rule's signature, which knows the units.
    """
    if set(rule.branch_names) == {"depress", "facilitate"} and set(rule.input_names) == {"w", "E"}:
        return [_window(rule)]
    units = (
        {item.name: item.unit for item in learning_task.signature.inputs} if learning_task else {}
    )
    views = _PARAMETERS.get(rule.input_names) or dict.fromkeys(rule.input_names)
    return [
        _slices(rule, branch, text, name, parameter, units)
        for branch, text in zip(rule.branch_names, rule.expressions, strict=True)
        for name, parameter in views.items()
    ]


def _window(rule: Rule) -> dict[str, Any]:
    """Return the change of the weight for a pair of spikes; eq. 12 ff. and Fig. 5 of the paper.

    With the postsynaptic spike last the rule facilitates, otherwise it depresses: by what its
    branch says of the trace that the earlier spike has left.
    """
    texts = dict(zip(rule.branch_names, rule.expressions, strict=True))
    before = np.linspace(-80.0, -0.5, _N_POINTS)
    after = -before[::-1]
    x = [*before, None, *after]
    changes = pair_window(
        (texts["depress"], texts["facilitate"]),
        WEIGHTS,
        np.concatenate([before, after]),
        tau_ms=TAU_MS,
    )
    series = []
    extremes: list[float] = []
    for w, change in zip(WEIGHTS, changes, strict=True):
        y = [*_finite(change[:_N_POINTS]), None, *_finite(change[_N_POINTS:])]
        extremes += [value for value in y if value is not None]
        series.append({"name": f"w = {w:g}", "x": _rounded(x), "y": y})
    return {
        "title": "Window of spike timing",
        "kind": "line",
        "x_label": "t_post − t_pre (ms)",
        "y_label": "Δw / λ (of the maximal weight)",
        "series": series,
        "summary": _range_words(extremes)
        + f" One pair of spikes, traces with a time constant of {TAU_MS:g} ms.",
    }


def _slices(
    rule: Rule,
    branch: str,
    text: str,
    name: str,
    parameter: tuple[str, tuple[float, ...]] | None,
    units: dict[str, str],
) -> dict[str, Any]:
    """Return a branch as a function of one input, for a few values of another one."""
    x = np.linspace(*_RANGES.get(name, (-1.0, 1.0)), _N_POINTS)
    fixed = {other: _CONSTANTS.get(other, 1.0) for other in rule.input_names if other != name}
    varied, values = parameter or ("", (0.0,))
    series = []
    extremes: list[float] = []
    for value in values:
        given = {**fixed, name: x, **({varied: value} if varied else {})}
        y = _finite(np.broadcast_to(_evaluate(text, rule, **given), x.shape))
        extremes += [number for number in y if number is not None]
        label = f"{varied} = {value:g} {units.get(varied, '')}".strip() if varied else branch
        series.append({"name": label, "x": _rounded(x), "y": y})
    rest = ", ".join(
        f"{other} = {value:g} {units.get(other, '')}".strip()
        for other, value in fixed.items()
        if other != varied
    )
    unit = f" ({units[name]})" if units.get(name) else ""
    return {
        "title": f"Slices along {name}",
        "kind": "line",
        "x_label": f"{name}{unit}",
        "y_label": "Δw" if branch == "delta_w" else branch,
        "series": series,
        "summary": _range_words(extremes) + (f" With {rest}." if rest else ""),
    }


def _evaluate(text: str, rule: Rule, **values: Any) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(
            parse(text, rule.input_names).evaluate(*(values[name] for name in rule.input_names)),
            float,
        )


def _finite(values: np.ndarray) -> list[float | None]:
    flat = np.broadcast_to(values, (_N_POINTS,)) if values.ndim == 0 else values
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in flat]


def _rounded(values: Any) -> list[float | None]:
    return [None if value is None else float(f"{value:.6g}") for value in values]


def _range_words(values: list[float]) -> str:
    if not values:
        return "There is no finite value."
    # Adding zero takes the sign from a negative zero.
    return f"Between {min(values) + 0.0:.4g} and {max(values) + 0.0:.4g}."
