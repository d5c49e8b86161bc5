"""The worker processes that are known to be there."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

#: Silence after which a worker counts as gone.
SILENCE_S = 45.0


class WorkerQuerySet(models.QuerySet["Worker"]):
    """Phrases for choosing workers."""

    def alive(self) -> WorkerQuerySet:
        """Workers that were heard of lately."""
        silence = timedelta(seconds=SILENCE_S)
        return self.filter(heard_at__gt=Now() - silence, heard_at__lt=Now() + silence)

    def available(self) -> WorkerQuerySet:
        """Workers that take work: those of hosts that are drained do not."""
        drained = WorkerHost.objects.filter(name=OuterRef("host"), is_drained=True)
        return self.alive().filter(~Exists(drained))

    def idle(self) -> WorkerQuerySet:
        """Workers that wait for something to do."""
        return self.available().filter(is_busy=False)


class WorkerHost(models.Model):
    """What operators have asked of the workers of one computer, or container."""

    name = models.CharField(max_length=100, unique=True)
    is_drained = models.BooleanField(default=False, help_text="Its workers take no more work.")
    n_restarts = models.PositiveIntegerField(
        default=0, help_text="Restarts that were asked for: a worker knows how many it has seen."
    )
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text="Null for the command line.",
    )
    changed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


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
    engine_version = models.CharField(
        max_length=200, blank=True, db_default="", help_text="Of the code that it runs."
    )
    started_at = models.DateTimeField(db_default=Now())
    heard_at = models.DateTimeField(db_default=Now())

    objects = WorkerQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    @property
    def pid(self) -> int | None:
        """Id of its process."""
        parts = self.name.split(":")
        return int(parts[-2]) if len(parts) > 2 and parts[-2].isdecimal() else None
