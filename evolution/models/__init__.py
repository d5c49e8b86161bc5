"""The records of evolution. The database is the truth; everything else is a hint."""

from evolution.models.evaluation import Evaluation, EvaluationContext
from evolution.models.experiment import Experiment, Run
from evolution.models.generation import Generation, Individual
from evolution.models.rule import Rule

__all__ = [
    "Evaluation",
    "EvaluationContext",
    "Experiment",
    "Generation",
    "Individual",
    "Rule",
    "Run",
]
