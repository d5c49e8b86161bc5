"""Plasticity rules that were evolved or typed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from django.db import models
from django.urls import reverse
from django.utils import timezone

if TYPE_CHECKING:
    from nest_build.rules import PlasticityRule, RuleSignature


class RuleQuerySet(models.QuerySet["Rule"]):
    """Phrases for choosing rules."""

    def shared(self) -> RuleQuerySet:
        """Rules that the laboratory knows: what the catalogue shows."""
        return self.filter(shared_at__isnull=False)


class Rule(models.Model):
    """A rule in the exact form that is simulated.

    Rules with the same ``key`` are the same arithmetic; rules with the same
    ``fingerprint`` mean the same (one equivalence class), those with the same ``family`` differ
    by a positive factor at most.
    """

    signature = models.CharField(
        max_length=200, help_text="Input names and branches, such as 'v,u,s -> delta_w'."
    )
    key = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    family = models.CharField(
        max_length=64,
        default="",
        help_text="Rules of one family are the same up to a positive factor.",
    )
    expressions = models.JSONField(help_text="Canonical expression of each branch.")
    complexity = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    shared_at = models.DateTimeField(
        null=True,
        default=timezone.now,
        help_text="When the laboratory came to know it; null while only private experiments do.",
    )

    objects = RuleQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["signature", "key"], name="rule_key_unique")]
        # With the signature in them, SQLite prefers these to the index of the constraint.
        indexes = [
            models.Index(
                fields=["fingerprint", "signature", "complexity", "shared_at"], name="rule_class"
            ),
            models.Index(fields=["family", "signature", "complexity"], name="rule_family"),
            models.Index(fields=["signature", "complexity"], name="rule_complexity"),
            # Pages list the newest first.
            models.Index(fields=["signature", "id"], name="rule_order"),
        ]

    def __str__(self) -> str:
        return " ; ".join(self.expressions)

    def get_absolute_url(self) -> str:
        return reverse("evolution:rule", args=[self.pk])

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs that the expressions read."""
        return tuple(self.signature.partition(" -> ")[0].split(","))

    @property
    def branch_names(self) -> tuple[str, ...]:
        """Names of what the expressions stand for."""
        return tuple(self.signature.partition(" -> ")[2].split(","))

    @property
    def latex(self) -> list[str]:
        """LaTeX of each branch, without delimiters."""
        from nest_build.rules import parse

        return [parse(text, self.input_names).latex() for text in self.expressions]

    @property
    def mathml(self) -> list[str]:
        """Presentation MathML of each branch.

        Computed when a page shows it: thousands of rules are evolved, few are looked at.
        """
        return [_mathml(text, self.input_names) for text in self.expressions]

    def parsed(self, signature: RuleSignature) -> PlasticityRule:
        """Return the rule as an object of the expression language."""
        from nest_build.rules import PlasticityRule

        return PlasticityRule.parse(signature, self.expressions)


def signature_text(signature: RuleSignature) -> str:
    """Return a signature as rules store it, such as ``v,u,s -> delta_w``."""
    return f"{','.join(signature.input_names)} -> {','.join(signature.branches)}"


@lru_cache(maxsize=4096)
def _mathml(text: str, inputs: tuple[str, ...]) -> str:
    from nest_build.rules import parse

    return parse(text, inputs).mathml()
