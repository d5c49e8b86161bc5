"""Generations and individuals: the history of a run."""

from __future__ import annotations

from django.db import models
from django.urls import reverse

from evolution.enums import Origin, Outcome
from evolution.models.fields import IntegerListsField


class Generation(models.Model):
    """One completed step of a run; index 0 is the initial population."""

    # The unique constraints below serve as the index of the foreign key.
    run = models.ForeignKey(
        "evolution.Run", on_delete=models.CASCADE, related_name="generations", db_index=False
    )
    index = models.PositiveIntegerField()
    # Individuals are only deleted with their run.
    champion = models.ForeignKey(
        "evolution.Individual",
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        db_index=False,
    )
    champion_fitness = models.FloatField(null=True, help_text="Null for minus infinity.")
    is_improvement = models.BooleanField(
        default=False, help_text="The champion is fitter than that of the generation before."
    )
    parents = IntegerListsField(
        default=list, help_text="Numbers of the survivors within the run, the fittest first."
    )
    n_evaluations = models.PositiveIntegerField(
        default=0, help_text="Rules whose fitness had to be known in this generation."
    )
    n_cached = models.PositiveIntegerField(
        default=0, help_text="Of these, how many had been asked for before."
    )
    n_pruned = models.PositiveIntegerField(
        default=0, help_text="Of these, how many were not simulated in all trials."
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["run", "index"]
        constraints = [
            models.UniqueConstraint(fields=["run", "index"], name="generation_index_unique")
        ]
        indexes = [
            models.Index(
                fields=["run", "index"],
                name="generation_improvement",
                condition=models.Q(is_improvement=True),
            ),
            # Pages list the latest first.
            models.Index(
                fields=["created_at", "id"],
                name="generation_latest",
                condition=models.Q(is_improvement=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run} generation {self.index}"


class Individual(models.Model):
    """One individual of a completed generation, with its genome, rule and fitness.

    ``fitness`` is null for minus infinity; ``outcome`` says why. An individual without a rule has a
    genome that encodes none.
    """

    run = models.ForeignKey(
        "evolution.Run", on_delete=models.CASCADE, related_name="individuals", db_index=False
    )
    index = models.PositiveIntegerField(help_text="Number within the run, as hal-cgp counts.")
    parent_index = models.PositiveIntegerField(null=True)
    birth_generation = models.PositiveIntegerField()
    origin = models.CharField(max_length=12, choices=Origin, default=Origin.MUTATION)
    genome = IntegerListsField(help_text="Alleles of each genome.")
    constants = models.JSONField(
        null=True, help_text="Values of the parameter nodes of each genome, if there are any."
    )
    mutated_genes = IntegerListsField(
        default=list, help_text="Positions at which each genome differs from the parent's."
    )
    # The index below serves the foreign key as well.
    rule = models.ForeignKey(
        "evolution.Rule",
        on_delete=models.PROTECT,
        null=True,
        related_name="individuals",
        db_index=False,
    )
    evaluation = models.ForeignKey(
        "evolution.Evaluation",
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="individuals",
        db_index=False,
    )
    fitness = models.FloatField(null=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.EVALUATED)
    is_neutral = models.BooleanField(
        default=False, help_text="The rule is exactly the parent's: the genome drifts."
    )
    is_cached = models.BooleanField(
        default=False, help_text="The evaluation had been asked for before."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "index"], name="individual_index_unique")
        ]
        indexes = [
            models.Index(fields=["run", "birth_generation"], name="individual_generation"),
            models.Index(fields=["rule", "run", "index"], name="individual_discovery"),
            models.Index(fields=["run", "outcome"], name="individual_outcome"),
        ]

    def __str__(self) -> str:
        return f"individual {self.index} of {self.run}"

    def get_absolute_url(self) -> str:
        run = self.run
        return reverse("evolution:individual", args=[run.experiment_id, run.number, self.index])
