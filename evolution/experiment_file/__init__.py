"""Experiment files: an experiment with its whole history in one file, read without trust.

A file is a zip archive of JSON texts. It needs no pickle and no path, any tool can look into it,
and it is written and read as a stream. Its members are told by
:mod:`evolution.experiment_file.layout`.
"""

from evolution.experiment_file.layout import (
    BrokenExperimentFile,
    Configuration,
    EvaluationRow,
    GenerationRow,
    IndividualRow,
    Limits,
    RuleRow,
    RunRow,
    fitness_from_json,
    fitness_to_json,
)
from evolution.experiment_file.reader import ExperimentFile, open_experiment_file
from evolution.experiment_file.writer import ExperimentFileWriter

__all__ = [
    "BrokenExperimentFile",
    "Configuration",
    "EvaluationRow",
    "ExperimentFile",
    "ExperimentFileWriter",
    "GenerationRow",
    "IndividualRow",
    "Limits",
    "RuleRow",
    "RunRow",
    "fitness_from_json",
    "fitness_to_json",
    "open_experiment_file",
]
