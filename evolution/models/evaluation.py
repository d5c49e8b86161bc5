"""Evaluations: each trial of a rule is simulated once, for all runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from evolution.enums import EvaluationState

if TYPE_CHECKING:
    from datetime import datetime

    from simulations.learning_tasks import Aggregate


class EvaluationContext(models.Model):
    """Everything but the rule that the value of a trial depends on."""

    digest = models.CharField(max_length=64, unique=True)
    learning_task_name = models.CharField(max_length=60)
    task_parameters = models.JSONField()
    seed = models.PositiveBigIntegerField()
    engine_version = models.CharField(max_length=200)

    def __str__(self) -> str:
        return f"{self.learning_task_name} seed {self.seed}"


class EvaluationQuerySet(models.QuerySet["Evaluation"]):
    """Phrases for choosing evaluations."""

    def unsettled(self, n_trials: int) -> EvaluationQuerySet:
        """Evaluations that do not tell the fitness of ``n_trials`` trials yet."""
        return self.filter(n_trials_done__lt=n_trials, reason="")

    def claimable(self, now: datetime, worker: str) -> EvaluationQuerySet:
        """Evaluations that no living worker holds, or that ``worker`` held before it was lost."""
        return self.filter(
            Q(state=EvaluationState.PENDING)
            | Q(state=EvaluationState.CLAIMED, lease_expires_at__lt=now)
            | Q(state=EvaluationState.CLAIMED, claimed_by=worker)
        )


class Evaluation(models.Model):
    """The values of the first trials of one rule in one context.

    ``trials`` grows: who wants more trials only simulates those that are missing. A reason
    says why the trial after the last one has no value.
    """

    context = models.ForeignKey(
        EvaluationContext, on_delete=models.CASCADE, related_name="evaluations"
    )
    rule = models.ForeignKey("evolution.Rule", on_delete=models.CASCADE, related_name="evaluations")
    n_trials = models.PositiveIntegerField(help_text="Number of trials that are wanted.")
    n_trials_done = models.PositiveIntegerField(default=0)
    trials = models.JSONField(default=list, help_text="Value of each trial, in order.")
    state = models.CharField(
        max_length=10, choices=EvaluationState, default=EvaluationState.PENDING
    )
    claimed_by = models.CharField(max_length=64, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    reason = models.CharField(max_length=20, blank=True)
    detail = models.TextField(blank=True)
    seconds = models.FloatField(default=0.0, help_text="Time of simulation, in s of one core.")

    objects = EvaluationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["context", "rule"], name="evaluation_unique")
        ]
        indexes = [
            models.Index(
                fields=["lease_expires_at"],
                condition=Q(state=EvaluationState.CLAIMED),
                name="evaluation_leases",
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule} in {self.context}"

    def is_settled(self, n_trials: int) -> bool:
        """Whether the fitness of ``n_trials`` trials is known."""
        return bool(self.reason) or self.n_trials_done >= n_trials

    def fitness(self, n_trials: int, aggregate: Aggregate) -> float:
        """Return the fitness of the first ``n_trials`` trials, minus infinity if one failed.

        A failure in a later trial, which another experiment asked for, does not count.
        """
        if self.n_trials_done < n_trials:
            return float("-inf")
        return aggregate(self.trials[:n_trials])
