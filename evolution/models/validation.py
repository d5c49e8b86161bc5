"""Validations: what people want to know of rules with seeds that no experiment uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Q, Sum, When
from django.db.models.functions import Least, Now

from evolution.enums import ValidationKind, ValidationState

if TYPE_CHECKING:
    from evolution.models.experiment import ExperimentQuerySet


class ValidationQuerySet(models.QuerySet["Validation"]):
    """Phrases for choosing validations."""

    def open(self) -> ValidationQuerySet:
        """Validations that lack values."""
        return self.filter(state=ValidationState.OPEN)

    def about(self, experiments: ExperimentQuerySet) -> ValidationQuerySet:
        """Validations about nothing but what these experiments and the laboratory know."""
        return self.filter(
            Q(experiment__in=experiments)
            | Q(experiment__isnull=True, context__shared_at__isnull=False)
        )

    def with_progress(self) -> ValidationQuerySet:
        """Add how many trials are wanted and how many of them are known, of open ones."""
        done = Case(
            When(~Q(demands__evaluation__reason=""), then=F("demands__n_trials")),
            default=Least("demands__evaluation__n_trials_done", "demands__n_trials"),
        )
        return self.annotate(n_wanted=Sum("demands__n_trials"), n_done=Sum(done))


class Validation(models.Model):
    """A question of a person; the answer is in evaluations whose context has held-out seeds.

    Its ``digest`` names the question, so that the same question is asked once. What it still
    waits for are its demands.
    """

    digest = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=12, choices=ValidationKind)
    subject = models.CharField(max_length=250, help_text="Which rules, in words.")
    rule = models.ForeignKey(
        "evolution.Rule",
        on_delete=models.CASCADE,
        null=True,
        related_name="validations",
        help_text="Null where it is about several.",
    )
    experiment = models.ForeignKey(
        "evolution.Experiment",
        on_delete=models.SET_NULL,
        null=True,
        related_name="validations",
        help_text="Whose rules they are, if it is about several.",
    )
    context = models.ForeignKey(
        "evolution.EvaluationContext", on_delete=models.CASCADE, related_name="validations"
    )
    n_trials = models.PositiveIntegerField()
    variations = models.JSONField(
        default=list,
        help_text="Of the robustness: parameter, factor, value and context of each variation.",
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="validations"
    )
    state = models.CharField(max_length=10, choices=ValidationState, default=ValidationState.OPEN)
    detail = models.TextField(blank=True)
    estimated_s = models.FloatField()
    created_at = models.DateTimeField(db_default=Now())
    served_at = models.DateTimeField(
        null=True, help_text="When a worker last turned to it: they take turns."
    )
    finished_at = models.DateTimeField(null=True)

    objects = ValidationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["state", "owner"], name="validation_open"),
            models.Index(fields=["rule", "kind"], name="validation_of_rule"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.subject}"
