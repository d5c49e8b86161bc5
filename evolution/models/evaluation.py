"""Evaluations: each trial of a rule is simulated once, for all runs."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from evolution.enums import ContextPurpose, EvaluationState, ExperimentState

#: Time after which the claim of a silent worker is void. Workers renew it three times as often.
LEASE_S = 15.0


class EvaluationContext(models.Model):
    """Everything but the rule that the value of a trial depends on."""

    digest = models.CharField(max_length=64, unique=True)
    learning_task_name = models.CharField(max_length=60)
    task_parameters = models.JSONField()
    seed = models.PositiveBigIntegerField()
    engine_version = models.CharField(max_length=200)
    purpose = models.CharField(
        max_length=12,
        choices=ContextPurpose,
        default=ContextPurpose.EVOLUTION,
        help_text="Contexts of other purposes have seeds that no experiment uses.",
    )
    shared_at = models.DateTimeField(
        null=True,
        default=timezone.now,
        help_text="When the laboratory came to know it; null while only private experiments do.",
    )

    def __str__(self) -> str:
        return f"{self.learning_task_name} seed {self.seed}"


def _free(worker: str, prefix: str = "") -> Q:
    """Return the condition that nobody alive but ``worker`` itself holds an evaluation.

    The database's clock decides, so that workers whose clocks differ agree. A lease that ends
    later than any lease can was given before the clock was set back.
    """
    state, by, end = (f"{prefix}{name}" for name in ("state", "claimed_by", "lease_expires_at"))
    return (
        ~Q(**{state: EvaluationState.CLAIMED})
        | Q(**{by: worker})
        | Q(**{f"{end}__lt": Now()})
        | Q(**{f"{end}__gt": Now() + timedelta(seconds=2 * LEASE_S)})
    )


class EvaluationQuerySet(models.QuerySet["Evaluation"]):
    """Phrases for choosing evaluations."""

    def free(self, worker: str) -> EvaluationQuerySet:
        """Evaluations that no living worker but ``worker`` holds."""
        return self.filter(_free(worker))

    def claimed_by_worker(self, worker: str) -> EvaluationQuerySet:
        """Evaluations that ``worker`` holds."""
        return self.filter(state=EvaluationState.CLAIMED, claimed_by=worker)


class Evaluation(models.Model):
    """The values of the first trials of one rule in one context.

    ``trials`` grows: who wants more trials only simulates those that are missing. A reason
    says why the trial after the last one has no value.
    """

    context = models.ForeignKey(
        EvaluationContext, on_delete=models.CASCADE, related_name="evaluations", db_index=False
    )
    rule = models.ForeignKey("evolution.Rule", on_delete=models.CASCADE, related_name="evaluations")
    trials = models.JSONField(default=list, help_text="Value of each trial, in order.")
    n_trials_done = models.PositiveIntegerField(default=0)
    worst = models.FloatField(null=True, help_text="Smallest value of a trial.")
    score = models.FloatField(
        null=True, help_text="Fitness by all trials that are known; null where one has failed."
    )
    complexity = models.PositiveIntegerField(
        default=0, help_text="That of the rule, to find the fittest rules of each complexity."
    )
    state = models.CharField(
        max_length=10, choices=EvaluationState, default=EvaluationState.PENDING
    )
    claimed_by = models.CharField(max_length=64, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(
        null=True, help_text="When a worker that still simulates gives up, and is replaced."
    )
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="Claims since the last result; those of lost workers add up."
    )
    reason = models.CharField(max_length=20, blank=True)
    detail = models.TextField(blank=True)
    seconds = models.FloatField(default=0.0, help_text="Time of simulation, in s of one core.")

    objects = EvaluationQuerySet.as_manager()

    class Meta:
        # The unique constraint also serves as the index of the context.
        constraints = [
            models.UniqueConstraint(fields=["context", "rule"], name="evaluation_unique")
        ]
        indexes = [
            models.Index(fields=["context", "score"], name="evaluation_fittest"),
            models.Index(fields=["context", "complexity", "score"], name="evaluation_front"),
        ]

    def __str__(self) -> str:
        return f"{self.rule} in {self.context}"


class DemandQuerySet(models.QuerySet["Demand"]):
    """Phrases for choosing demands."""

    def active(self) -> DemandQuerySet:
        """Demands of runs that go on, and those that no run waits for."""
        return self.filter(Q(run__isnull=True) | Q(run__state=ExperimentState.RUNNING))

    def unsettled(self) -> DemandQuerySet:
        """Demands that still lack trials."""
        return self.filter(
            Q(bound__isnull=True)
            | Q(evaluation__worst__isnull=True)
            | Q(evaluation__worst__gte=F("bound")),
            evaluation__reason="",
            evaluation__n_trials_done__lt=F("n_trials"),
        )

    def free(self, worker: str) -> DemandQuerySet:
        """Demands for evaluations that no living worker but ``worker`` holds."""
        return self.filter(_free(worker, "evaluation__"))


class Demand(models.Model):
    """The wish of a run to know an evaluation; it is there as long as the run waits.

    A demand without a run is one of a person: of an experiment something is repeated, of a
    validation rules are simulated with held-out seeds.
    """

    experiment = models.ForeignKey(
        "evolution.Experiment", on_delete=models.CASCADE, related_name="demands", null=True
    )
    validation = models.ForeignKey(
        "evolution.Validation", on_delete=models.CASCADE, related_name="demands", null=True
    )
    run = models.ForeignKey(
        "evolution.Run", on_delete=models.CASCADE, related_name="demands", null=True
    )
    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="demands")
    n_trials = models.PositiveIntegerField(help_text="Number of first trials that are wanted.")
    bound = models.FloatField(
        null=True, help_text="A value of a trial below this one makes further trials needless."
    )

    objects = DemandQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(experiment__isnull=True) ^ Q(validation__isnull=True),
                name="demand_of_one",
            )
        ]

    def __str__(self) -> str:
        return f"{self.n_trials} trials of {self.evaluation}"
