"""Compare all published and recorded values of the correlation-driven learning task, by trial.

``python -m tests.bench._correlation_fidelity [FOLDER]`` prints relative deviations. FOLDER holds
the published data and the values that the authors' code gave when it was run again. Takes about
a minute.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from nest_build.rules import PlasticityRule
from simulations.evaluation import evaluate_rules
from simulations.learning_tasks import get_learning_task

FOLDER = Path(__file__).resolve().parents[3] / "shared"


def main() -> int:
    """Print a table; return 1 if a validation value deviates by more than half a percent."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    task = get_learning_task("correlation-driven")
    preset = task.presets["paper"]
    published = json.loads((folder / "published" / "correlation_driven.json").read_text())
    as_run = json.loads((folder / "golden" / "correlation_as_run.json").read_text())

    def rules(*expressions: tuple[str, ...]) -> list[PlasticityRule]:
        return [PlasticityRule.parse(task.signature, texts) for texts in expressions]

    champions = [run for run in published["runs"] if "champion_depress" in run]
    evaluations = evaluate_rules(
        task,
        rules(*((run["champion_depress"], run["champion_facilitate"]) for run in champions)),
        preset.task_parameters,
        seed=preset.seed,
    )
    for run, evaluation in zip(champions, evaluations, strict=True):
        fitness = evaluation.fitness(task.aggregate)
        deviation = fitness / run["champion_fitness"] - 1
        _print(f"fitness of champion {run['run']:2d}: {fitness:9.5f}, {deviation:+.1e}")

    validation = preset.task_parameters.with_changes(preset.validation_changes)
    homeostatic = validation.with_changes({"t_sim_ms": 200_000.0, "replay_ms": 11_000.0})
    deviations = []
    for name, expressions, parameters, seed in (
        *(
            (name, (as_run[name]["depress"], as_run[name]["facilitate"]), validation, None)
            for name in ("champion_18", "champion_9")
        ),
        ("homeostatic", task.baselines[0].expressions, homeostatic, preset.seed),
    ):
        expected = as_run[name]["snr"]
        (evaluation,) = evaluate_rules(
            task,
            rules(expressions),
            parameters,
            seed=preset.validation_seed if seed is None else seed,
            trials=range(len(expected)),
        )
        deviations.append(np.abs(np.array(evaluation.trials) / expected - 1))
        _print(
            f"validation of {name}: median deviation {np.median(deviations[-1]):.1e}, "
            f"largest {deviations[-1].max():.1e} in {len(expected)} trials"
        )
    return int(max(map(np.max, deviations)) > 0.005)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
