"""The records of evolution. The database is the truth; everything else is a hint."""

from evolution.models.api import ApiAnswer, ApiToken
from evolution.models.evaluation import Demand, Evaluation, EvaluationContext
from evolution.models.experiment import Experiment, Run
from evolution.models.generation import Generation, Individual
from evolution.models.people import LogEntry, ShareLink
from evolution.models.probe import Probe, Recording, RuleNote
from evolution.models.rule import Rule
from evolution.models.validation import Validation
from evolution.models.worker import Worker, WorkerHost

__all__ = [
    "ApiAnswer",
    "ApiToken",
    "Demand",
    "Evaluation",
    "EvaluationContext",
    "Experiment",
    "Generation",
    "Individual",
    "LogEntry",
    "Probe",
    "Recording",
    "Rule",
    "RuleNote",
    "Run",
    "ShareLink",
    "Validation",
    "Worker",
    "WorkerHost",
]
