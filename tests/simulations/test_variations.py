"""Parameters varied one at a time: all that say what is modelled, within what is permitted."""

from __future__ import annotations

import pytest

from simulations.learning_tasks import get_learning_task, learning_task_names
from simulations.parameters import TaskParameters, quantity
from simulations.variations import FACTORS, variations

NAMES = [
    (name, preset) for name in learning_task_names() for preset in get_learning_task(name).presets
]


class Odd(TaskParameters):
    """Parameters at bounds, at zero, and of all types."""

    share: float = quantity(0.8, "Bounded above.", ge=0, le=1)
    n_small: int = quantity(1, "Cannot be less.", ge=1, le=10)
    shift: float = quantity(0.0, "Nothing times anything.")
    minus: float = quantity(-4.0, "Negative.")
    is_on: bool = quantity(True, "No number.")
    how: str = quantity("so", "A word.")
    t_sim_ms: float = quantity(10.0, "How long.", unit="ms", group="Trials")
    dt_ms: float = quantity(0.1, "How finely.", unit="ms", group="Simulation")


def test_bounds_zeros_and_types() -> None:
    found: dict[str, list[tuple[float, float]]] = {}
    for item in variations(Odd()):
        found.setdefault(item.name, []).append((item.factor, item.value))
    assert found == {
        "share": [(0.5, 0.4), (0.8, 0.64), (1.2, 0.96), (1.5, 1.0)],
        # A half is rounded to even; what changes nothing is left out.
        "n_small": [(1.5, 2)],
        "minus": [(0.5, -2.0), (0.8, -3.2), (1.2, -4.8), (1.5, -6.0)],
    }


@pytest.mark.parametrize(("name", "preset"), NAMES)
def test_exactly_one_parameter_differs_and_is_permitted(name: str, preset: str) -> None:
    task = get_learning_task(name)
    before = task.presets[preset].task_parameters
    found = variations(before)
    assert len({item.name for item in found}) >= 8
    for item in found:
        after = item.parameters.to_mapping()
        changed = {key for key, value in before.to_mapping().items() if after[key] != value}
        assert changed == {item.name}
        assert item.factor in FACTORS
        # Validated anew, as everything that comes from outside.
        assert task.parameters_type.from_mapping(after) == item.parameters
        wanted = getattr(before, item.name) * item.factor
        assert item.value == pytest.approx(wanted, abs=0.51)


@pytest.mark.parametrize(("name", "preset"), NAMES)
def test_how_long_and_how_finely_is_not_varied(name: str, preset: str) -> None:
    parameters = get_learning_task(name).presets[preset].task_parameters
    groups = {key: item.group for key, item in parameters.descriptions().items()}
    assert not {groups[item.name] for item in variations(parameters)} & {"Trials", "Simulation"}
