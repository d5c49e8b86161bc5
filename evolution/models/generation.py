"""Generations and individuals: the history of a run."""

from __future__ import annotations

from django.db import models


class Generation(models.Model):
    """One completed step of a run; index 0 is the initial population."""

    # The unique constraints below serve as the index of the foreign key.
    run = models.ForeignKey(
        "evolution.Run", on_delete=models.CASCADE, related_name="generations", db_index=False
    )
    index = models.PositiveIntegerField()
    champion = models.ForeignKey(
        "evolution.Individual", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    champion_fitness = models.FloatField(null=True, help_text="Null for minus infinity.")
    is_improvement = models.BooleanField(
        default=False, help_text="The champion is fitter than that of the generation before."
    )
    n_evaluations = models.PositiveIntegerField(
        default=0, help_text="Individuals whose fitness had to be known in this generation."
    )
    n_cached = models.PositiveIntegerField(
        default=0, help_text="Of these, how many had been simulated before."
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["run", "index"]
        constraints = [
            models.UniqueConstraint(fields=["run", "index"], name="generation_index_unique")
        ]

    def __str__(self) -> str:
        return f"{self.run} generation {self.index}"


class Individual(models.Model):
    """One individual that was bred, with its genome, rule and fitness.

    ``fitness`` is null for minus infinity and while the evaluation is under way. An individual
    without a rule has a genome that encodes none, such as one that divides by zero.
    """

    run = models.ForeignKey(
        "evolution.Run", on_delete=models.CASCADE, related_name="individuals", db_index=False
    )
    index = models.PositiveIntegerField(help_text="Number within the run, as hal-cgp counts.")
    parent_index = models.PositiveIntegerField(null=True)
    birth_generation = models.PositiveIntegerField()
    genome = models.JSONField(help_text="One list of alleles per genome.")
    rule = models.ForeignKey(
        "evolution.Rule", on_delete=models.PROTECT, null=True, related_name="individuals"
    )
    evaluation = models.ForeignKey(
        "evolution.Evaluation", on_delete=models.PROTECT, null=True, related_name="individuals"
    )
    fitness = models.FloatField(null=True)
    is_inherited = models.BooleanField(
        default=False, help_text="Only inactive genes mutated: the fitness is the parent's."
    )
    is_cached = models.BooleanField(
        default=False, help_text="The evaluation had been asked for before."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "index"], name="individual_index_unique")
        ]
        indexes = [models.Index(fields=["run", "birth_generation"], name="individual_generation")]

    def __str__(self) -> str:
        return f"individual {self.index} of {self.run}"
