"""The states that experiments, runs and evaluations pass through."""

from django.db.models import TextChoices


class ExperimentState(TextChoices):
    """State of an experiment and of each of its runs."""

    CREATED = "created", "created"
    RUNNING = "running", "running"
    FINISHED = "finished", "finished"
    STOPPED = "stopped", "stopped"
    FAILED = "failed", "failed"

    @property
    def is_final(self) -> bool:
        """True where nothing happens any more."""
        return self in {self.FINISHED, self.STOPPED, self.FAILED}


class StopReason(TextChoices):
    """Why a run ended."""

    GENERATIONS = "generations", "all generations done"
    TARGET = "target", "target fitness reached"
    STOPPED = "stopped", "stopped by a person"
    ERROR = "error", "error"


class EvaluationState(TextChoices):
    """State of an evaluation: waiting for a worker, claimed by one, or with a result."""

    PENDING = "pending", "pending"
    CLAIMED = "claimed", "claimed"
    DONE = "done", "done"
