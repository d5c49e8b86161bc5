"""The documented script, run as users run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nest_build

pytestmark = pytest.mark.nest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how_to" / "use_the_synapses_in_pynest.md"


def run_script(script):
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYNEST_QUIET": "1"},
    )


def test_documented_script_learns_the_weights_of_the_teacher():
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    result = run_script(script)
    assert result.returncode == 0, result.stderr
    weights = re.search(r"weights: [\[(](.*)[\])]", result.stdout).group(1)
    assert [float(weight) for weight in weights.split(",")] == pytest.approx(
        [10.0, 25.0, 15.0], abs=3.0
    )


def test_a_module_without_rule_compiler_says_so():
    result = run_script(
        "import nest_build; path = nest_build.module_path('us_sympy_synapse_module')\n"
        "import nest; nest.Install(path)\n"
        "nest.SetDefaults('us_sympy_synapse', {'eta': 2.0, 'expr': '0.0'})\n"
        "nest.SetDefaults('us_sympy_synapse', {'expr': 'v - u'})\n"
    )
    assert result.returncode == 1
    assert "BadProperty" in result.stderr
    assert "has not been compiled" in result.stderr


def test_printed_paths_are_what_nest_installs():
    printed = subprocess.run(
        [sys.executable, "-m", "nest_build", "paths"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = printed.stdout.splitlines()
    assert [Path(path).name for path in paths] == list(nest_build.MODULES)
    assert str(ROOT) in printed.stderr
    # The lines of the hint, with the path alone for the module that has no rules.
    hint = "\n".join(re.findall(r"^  (.*)$", printed.stderr, re.MULTILINE))
    assert "nest.Install(nest_build.module_path(" in hint
    result = run_script(
        f"{hint}\nnest.Install({paths[-1]!r})\n"
        "nest.SetDefaults('us_sympy_synapse', {'expr': 'v - u'})\n"
        "nest.CopyModel('stdp_homeostatic_synapse', 'copy')\n"
    )
    assert result.returncode == 0, result.stderr
