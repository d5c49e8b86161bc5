"""The kernel of the process: quiet, with one virtual process, and harmless to the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nest_build
from simulations import kernel

ROOT = Path(__file__).resolve().parents[2]


def run_python(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "PYNEST_QUIET"},
    )


def test_importing_the_simulations_does_not_import_nest():
    script = (
        "import sys, simulations.kernel, simulations.learning_tasks.error_driven;"
        "print('nest' in sys.modules, 'llvmlite' in sys.modules)"
    )
    assert run_python(script).stdout == "False False\n"


@pytest.mark.nest
def test_nest_starts_silently_and_leaves_the_process_as_it_was():
    script = (
        "import os, sys\n"
        "from simulations import kernel\n"
        "before = (list(sys.argv), sys.getdlopenflags(), dict(os.environ))\n"
        "nest = kernel.prepare(0.1, ['us_sympy_synapse_module'])\n"
        "nest.Simulate(10.0)\n"
        "assert before == (sys.argv, sys.getdlopenflags(), dict(os.environ))\n"
    )
    result = run_python(script, "--debug", "--quiet")
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.nest
def test_kernel_is_fresh_with_one_virtual_process_and_the_models():
    nest = kernel.prepare(0.1)
    nest.Create("iaf_psc_exp", 3)
    nest = kernel.prepare(0.25, ["us_sympy_synapse_module"])
    assert nest.resolution == 0.25
    assert nest.total_num_virtual_procs == 1
    assert nest.network_size == 0
    assert "us_sympy_synapse" in nest.synapse_models
    assert "iaf_psc_exp_escape" in nest.node_models


@pytest.mark.nest
def test_missing_modules_are_named_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(nest_build.builder, "_LIBRARIES", tmp_path)
    with pytest.raises(nest_build.ModulesNotBuilt, match="make setup"):
        kernel.prepare(0.1, ["us_sympy_synapse_module"])


@pytest.mark.nest
def test_other_threads_have_their_turn_during_a_long_simulation():
    """Workers tell from a thread that they live; the state at the end is that of one long run."""
    script = """
import threading, time
from simulations import kernel

def simulate(run):
    nest = kernel.prepare(0.1)
    neurons = nest.Create("iaf_psc_exp", 500, {"I_e": 400.0})
    nest.Connect(neurons, neurons, {"rule": "fixed_indegree", "indegree": 50}, {"weight": 5.0})
    nest.Prepare()
    run(nest)
    nest.Cleanup()
    return neurons.get("V_m")

n_slices, seconds = 4500, 0.0
while seconds < 1.0:  # long enough to tell, on any machine
    n_slices *= 2
    start = time.perf_counter()
    whole = simulate(lambda nest: nest.Run(n_slices * 1.0))
    seconds = time.perf_counter() - start
turns, is_over = [], threading.Event()

def count():
    while not is_over.wait(0.05):
        turns.append(time.perf_counter())

thread = threading.Thread(target=count)
thread.start()
start = time.perf_counter()
parts = simulate(lambda nest: kernel.run(n_slices, 1.0))
is_over.set()
thread.join()
print(whole == parts, len(turns))
"""
    same, n_turns = run_python(script).stdout.split()
    assert same == "True"
    # A single run lets nobody in; this one has several parts, of 0.5 s each.
    assert int(n_turns) >= 1
