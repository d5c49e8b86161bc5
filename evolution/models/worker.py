"""The worker processes that are known to be there."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

#: Silence after which a worker counts as gone.
SILENCE_S = 45.0


class WorkerQuerySet(models.QuerySet["Worker"]):
    """Phrases for choosing workers."""

    def alive(self) -> WorkerQuerySet:
        """Workers that were heard of lately."""
        silence = timedelta(seconds=SILENCE_S)
        return self.filter(heard_at__gt=Now() - silence, heard_at__lt=Now() + silence)

    def idle(self) -> WorkerQuerySet:
        """Workers that wait for something to do."""
        return self.alive().filter(is_busy=False)


class Worker(models.Model):
    """One process (or thread) that simulates."""

    name = models.CharField(max_length=100, unique=True, help_text="Host, process and thread.")
    host = models.CharField(max_length=100)
    is_busy = models.BooleanField(default=False)
    experiment = models.ForeignKey(
        "evolution.Experiment",
        on_delete=models.SET_NULL,
        null=True,
        related_name="workers",
        help_text="What it works, or worked last, on.",
    )
    started_at = models.DateTimeField(db_default=Now())
    heard_at = models.DateTimeField(db_default=Now())

    objects = WorkerQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
