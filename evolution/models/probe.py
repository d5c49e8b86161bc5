"""Simulations that a person asked for, and what people note about rules."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from evolution.enums import ProbeKind, ProbeState
from evolution.models.evaluation import LEASE_S


class ProbeQuerySet(models.QuerySet["Probe"]):
    """Phrases for choosing probes."""

    def open(self) -> ProbeQuerySet:
        """Probes without a result."""
        return self.filter(state__in=[ProbeState.WAITING, ProbeState.RUNNING])

    def free(self) -> ProbeQuerySet:
        """Probes that wait for a worker, and those whose worker has fallen silent."""
        return self.filter(
            Q(state=ProbeState.WAITING)
            | Q(state=ProbeState.RUNNING, lease_expires_at__lt=Now())
            # A clock that was set back leaves leases longer than any.
            | Q(
                state=ProbeState.RUNNING,
                lease_expires_at__gt=Now() + timedelta(seconds=2 * LEASE_S),
            )
        )


class Probe(models.Model):
    """One simulation of a rule in a learning task, outside of any experiment.

    Its ``digest`` names the question, so that the same question is asked once.
    """

    digest = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=12, choices=ProbeKind)
    rule = models.ForeignKey("evolution.Rule", on_delete=models.CASCADE, related_name="probes")
    learning_task_name = models.CharField(max_length=60)
    preset = models.CharField(max_length=60)
    task_parameters = models.JSONField()
    seed = models.PositiveBigIntegerField()
    figure = models.JSONField(
        null=True, help_text="Of figures of the paper: the figure, and the rules that are tried."
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="probes"
    )
    state = models.CharField(max_length=10, choices=ProbeState, default=ProbeState.WAITING)
    n_steps = models.PositiveIntegerField(help_text="Number of trials to simulate.")
    n_steps_done = models.PositiveIntegerField(default=0)
    estimated_s = models.FloatField()
    claimed_by = models.CharField(max_length=64, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    reason = models.CharField(max_length=20, blank=True)
    detail = models.TextField(blank=True)
    result = models.JSONField(default=dict, help_text="What a page shows at once.")
    panels = models.JSONField(default=list, help_text="What plots show; large.")
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = ProbeQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["state", "owner"], name="probe_waiting")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.rule} in {self.learning_task_name}"

    @property
    def is_open(self) -> bool:
        """True as long as there is no result."""
        return not ProbeState(self.state).is_final


class RuleNote(models.Model):
    """Name and notes that a person gave a rule of the catalogue."""

    rule = models.ForeignKey("evolution.Rule", on_delete=models.CASCADE, related_name="notes")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="rule_notes"
    )
    name = models.CharField(max_length=100)
    text = models.TextField(blank=True, max_length=5000)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["rule", "author"], name="rule_note_unique")]

    def __str__(self) -> str:
        return self.name
