"""The exported PyNEST scripts run as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from evolution.exports import pynest_script
from evolution.models import Rule

ROOT = Path(__file__).parents[2]


@pytest.mark.nest
@pytest.mark.parametrize(
    ("signature", "expressions"),
    [
        ("v,u,s -> delta_w", ["(v - u)*s"]),
        ("R,E -> delta_w", ["E*(R - 1)"]),
        ("w,E -> depress,facilitate", ["w*E", "(1 - w)*E"]),
    ],
)
def test_a_script_changes_a_weight(signature: str, expressions: list[str]) -> None:
    script = pynest_script(Rule(signature=signature, expressions=expressions))
    result = subprocess.run(
        [sys.executable, "-"],
        input=script,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYNEST_QUIET": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    before = {"v,u,s -> delta_w": 5.0, "R,E -> delta_w": 3000.0}.get(signature, 0.5)
    assert float(result.stdout.strip().splitlines()[-1].split("weight:")[1]) != before


def test_inputs_without_a_synapse_model_have_no_script() -> None:
    assert pynest_script(Rule(signature="a,b -> c", expressions=["a + b"])) is None
