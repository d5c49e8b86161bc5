"""Who did what, and the links by which experiments are shown to others."""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from evolution.enums import Action


class LogEntryQuerySet(models.QuerySet["LogEntry"]):
    """Phrases for choosing entries; what is written stays."""

    def of_experiments(self) -> LogEntryQuerySet:
        """Entries about what changes experiments."""
        return self.filter(action__in=Action.of_experiments())

    def update(self, **changes: Any) -> NoReturn:
        """Refuse."""
        raise TypeError("What is written down is not changed.")

    def delete(self) -> NoReturn:
        """Refuse."""
        raise TypeError("What is written down is not deleted.")


class LogEntry(models.Model):
    """What somebody did: see :mod:`evolution.services.audit`, which alone writes it.

    Names are kept beside the references: an entry outlives the account and the experiment.
    """

    experiment = models.ForeignKey(
        "evolution.Experiment", on_delete=models.SET_NULL, null=True, related_name="log"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text="Null for the command line and for visitors.",
    )
    who = models.CharField(max_length=150, blank=True)
    action = models.CharField(max_length=20, choices=Action)
    subject = models.CharField(max_length=220, blank=True, help_text="What it was done to.")
    detail = models.CharField(max_length=200, blank=True)
    address = models.GenericIPAddressField(null=True, help_text="Where the request came from.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = LogEntryQuerySet.as_manager()

    class Meta:
        ordering = ["experiment", "-pk"]
        indexes = [models.Index(fields=["action", "-id"], name="log_action")]

    def __str__(self) -> str:
        return f"{self.who} {self.get_action_display()} {self.subject}".rstrip()

    def save(self, *args: Any, **options: Any) -> None:
        """Write the entry, once."""
        if self.pk is not None:
            raise TypeError("What is written down is not changed.")
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> NoReturn:
        """Refuse."""
        raise TypeError("What is written down is not deleted.")


class ShareLinkQuerySet(models.QuerySet["ShareLink"]):
    """Phrases for choosing links."""

    def active(self) -> ShareLinkQuerySet:
        """Links that still open something."""
        return self.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=Now()), revoked_at__isnull=True
        )


class ShareLink(models.Model):
    """A link with which anybody may read one experiment; only a digest of its secret is kept."""

    experiment = models.ForeignKey(
        "evolution.Experiment", on_delete=models.CASCADE, related_name="share_links"
    )
    digest = models.CharField(max_length=64, unique=True)
    label = models.CharField(max_length=100, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = ShareLinkQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"link to {self.experiment}"
