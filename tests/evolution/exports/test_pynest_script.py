"""Exported scripts run as they are, outside of this application, and change the weight rightly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evolution.exports import FORMS, Inexpressible
from nest_build.rules import parse
from tests.evolution.exports.rules import CONTINUOUS, LEARNERS, PAIRS, REWARD, rule_of

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.nest


def printed(signature: str, texts: list[str], folder: Path) -> dict[str, float]:
    """Run a script where there is nothing but `nest_build`; return the numbers that it prints."""
    (folder / "nest_build").symlink_to(ROOT / "nest_build")
    (folder / "script.py").write_text(FORMS["pynest"].write(rule_of(*texts, signature=signature)))
    result = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={"PYNEST_QUIET": "1", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = [line.split(":") for line in result.stdout.splitlines() if line.count(":") == 1]
    numbers = {name: text.strip(" []") for name, text in lines}
    return {name: float(numbers[name]) for name in ("reward", "weight") if name in numbers}


def pair_weight(depress: str, facilitate: str) -> float:
    """Compute by hand: spikes at 10 and 40 ms, a postsynaptic one 7 ms after the first."""
    change = [parse(text, ("w", "E")).evaluate for text in (depress, facilitate)]
    w = max(0.0, 0.5 - 0.1 * change[0](0.5, 0.0))
    w = min(1.0, w + 0.1 * change[1](w, np.exp(-7.0 / 20.0)))
    return max(0.0, w - 0.1 * change[0](w, np.exp(-23.0 / 20.0)))


@pytest.mark.parametrize(
    "texts",
    [["w*E", "(1 - w)*E"], ["(w - 1)**0.5 + w*E", "10*E"]],
    ids=["multiplicative", "complex and bounded"],
)
def test_pairs_change_the_weight_as_by_hand(texts: list[str], tmp_path: Path) -> None:
    weight = printed(PAIRS, texts, tmp_path)["weight"]
    assert weight == pytest.approx(pair_weight(*texts), rel=1e-12)


def test_an_integrated_rule_changes_the_weight_as_by_hand(tmp_path: Path) -> None:
    """The rule does not see the potential, so the weight is a linear filter of the input."""
    weight = printed(CONTINUOUS, ["s*(v + 62)"], tmp_path)["weight"]
    tau, Tau, C, v = 2.0, 10.0, 250.0, -60.0
    area_of_psp = Tau * tau / C  # of one spike of weight 1 pA in mV ms
    assert weight == pytest.approx(5.0 + 3 * area_of_psp * (v + 62.0), rel=1e-3)


def test_a_trial_without_reward_changes_the_weight(tmp_path: Path) -> None:
    # The neuron spikes, which is wrong; spikes make the trace of active inputs positive.
    found = printed(REWARD, ["E*(R - 1)"], tmp_path)
    assert found["reward"] == -1.0
    assert found["weight"] < 3000.0


def test_a_rule_of_the_reward_alone_is_added(tmp_path: Path) -> None:
    assert printed(REWARD, ["3*R"], tmp_path)["weight"] == pytest.approx(3000.0 - 0.3, rel=1e-12)


@pytest.mark.parametrize("signature", LEARNERS)
def test_rules_that_learn_have_a_script(signature: str) -> None:
    script = FORMS["pynest"].write(rule_of(*LEARNERS[signature], signature=signature))
    compile(script, "script.py", "exec")


@pytest.mark.parametrize("name", ["pynest", "notebook", "nestml"])
def test_inputs_without_a_synapse_model_have_no_simulation(name: str) -> None:
    with pytest.raises(Inexpressible, match="a,b -> c"):
        FORMS[name].write(rule_of("a + b", signature="a,b -> c"))
