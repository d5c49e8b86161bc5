"""Experiments and their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse

from evolution.enums import ExperimentState, StopReason, Visibility
from evolution.models.fields import WordsField

if TYPE_CHECKING:
    from evolution.cgp.parameters import EvolutionParameters
    from simulations.learning_tasks import LearningTask
    from simulations.parameters import TaskParameters

MAX_RUNS = 100
#: NumPy's legacy generators take 32 bits; the seeds of trials and runs are counted up from here.
MAX_SEED = 2**32 - 1 - 10_000


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    """Phrases for choosing experiments."""

    def running(self) -> ExperimentQuerySet:
        """Experiments that workers are busy with."""
        return self.filter(state=ExperimentState.RUNNING)

    def archived(self) -> ExperimentQuerySet:
        """Experiments that were put away."""
        return self.filter(archived_at__isnull=False)

    def not_archived(self) -> ExperimentQuerySet:
        """Experiments that lists show."""
        return self.filter(archived_at__isnull=True)

    def newest_first(self) -> ExperimentQuerySet:
        """Order as lists show them."""
        return self.order_by("-created_at", "-pk")


class Experiment(models.Model):
    """One configuration and N seeds: each seed is a :class:`Run`.

    Parameters are stored as validated JSON. After the launch only the number of generations
    changes, and that of the runs, when the experiment is extended.
    """

    name = models.CharField(max_length=200)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="experiments",
    )
    visibility = models.CharField(
        max_length=20,
        choices=Visibility,
        default=Visibility.LABORATORY,
        help_text="Who may read it.",
    )
    learning_task_name = models.CharField(max_length=60)
    preset = models.CharField(max_length=60, blank=True)
    task_parameters = models.JSONField()
    evolution_parameters = models.JSONField()
    seed = models.PositiveBigIntegerField(
        validators=[MaxValueValidator(MAX_SEED)],
        help_text="Trial k uses seed + k, run i evolves with seed + i.",
    )
    n_runs = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(MAX_RUNS)]
    )
    state = models.CharField(
        max_length=20, choices=ExperimentState, default=ExperimentState.CREATED
    )
    context = models.ForeignKey(
        "evolution.EvaluationContext",
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        help_text="Context of the latest evaluations.",
    )
    submission_token = models.UUIDField(null=True, unique=True, editable=False)
    tags = WordsField(default=list, blank=True, help_text="Words to find it by.")
    notes = models.TextField(blank=True)
    provenance = models.JSONField(default=dict)
    published = models.JSONField(
        null=True,
        editable=False,
        help_text="Of results of the literature: the authors' parameters, and values of held-out "
        "trials by the number of the run.",
    )
    original = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="reproductions",
        help_text="The experiment that this one repeats to see whether the same comes out.",
    )
    has_own_evaluations = models.BooleanField(
        default=False,
        editable=False,
        help_text="Evaluations are neither taken from nor given to other experiments.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    rested_s = models.FloatField(
        default=0.0,
        editable=False,
        help_text="Time between pauses and resumptions, and between an end and an extension.",
    )
    archived_at = models.DateTimeField(null=True, blank=True)
    served_at = models.DateTimeField(
        null=True, editable=False, help_text="When a worker last turned to it: they take turns."
    )

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["-created_at", "-id"], name="experiment_newest")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("evolution:experiment", args=[self.pk])

    @property
    def learning_task(self) -> LearningTask:
        """The learning task that rules are judged by."""
        from simulations.learning_tasks import get_learning_task

        return get_learning_task(self.learning_task_name)

    def get_task_parameters(self) -> TaskParameters:
        """Return the learning task's parameters as a typed object."""
        return self.learning_task.parameters_type.from_mapping(self.task_parameters)

    def get_evolution_parameters(self) -> EvolutionParameters:
        """Return the evolution's parameters as a typed object."""
        from evolution.cgp.parameters import EvolutionParameters

        return EvolutionParameters.from_mapping(self.evolution_parameters)


#: The large columns of a run, which only the engine reads.
ENGINE_STATE = ("engine_state", "pending")


class RunQuerySet(models.QuerySet["Run"]):
    """Phrases for choosing runs."""

    def running(self) -> RunQuerySet:
        """Runs that still evolve."""
        return self.filter(state=ExperimentState.RUNNING)

    def without_engine_state(self) -> RunQuerySet:
        """Leave out the large columns that only the engine reads."""
        return self.defer(*ENGINE_STATE)


class Run(models.Model):
    """One evolution with one seed.

    ``engine_state`` is the whole state of the engine, as JSON, and ``pending`` what it has asked
    for and waits for. Whoever changes them counts ``version`` up, and fails if somebody else was
    faster.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="runs")
    index = models.PositiveSmallIntegerField()
    seed = models.PositiveBigIntegerField()
    state = models.CharField(
        max_length=20, choices=ExperimentState, default=ExperimentState.CREATED
    )
    stop_reason = models.CharField(max_length=20, choices=StopReason, blank=True)
    detail = models.TextField(blank=True)
    engine_state = models.JSONField(null=True, editable=False)
    pending = models.JSONField(null=True, editable=False)
    version = models.PositiveIntegerField(default=0, editable=False)
    n_generations_done = models.PositiveIntegerField(
        default=0, help_text="Completed generations after the initial population (generation 0)."
    )
    champion = models.ForeignKey(
        "evolution.Individual",
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        db_index=False,
    )
    champion_fitness = models.FloatField(null=True, help_text="Null for minus infinity.")
    improved_at_generation = models.PositiveIntegerField(
        default=0, help_text="Generation of the last fitter champion."
    )
    n_evaluations = models.PositiveIntegerField(
        default=0, help_text="Rules whose fitness had to be known."
    )
    n_cached = models.PositiveIntegerField(
        default=0, help_text="Of these, how many had been asked for before."
    )
    n_pruned = models.PositiveIntegerField(
        default=0, help_text="Of these, how many were not simulated in all trials."
    )
    simulated_s = models.FloatField(
        default=0.0, help_text="Time of the simulations that it waited for, in s of one core."
    )
    saved_s = models.FloatField(
        default=0.0, help_text="Time of simulation that cache and pruning saved, in s of one core."
    )
    started_at = models.DateTimeField(null=True)
    paused_at = models.DateTimeField(null=True)
    paused_s = models.FloatField(default=0.0, help_text="Time between pauses and resumptions.")
    finished_at = models.DateTimeField(null=True)
    last_progress_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["experiment", "index"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "index"], name="run_index_unique")
        ]
        indexes = [models.Index(fields=["state"], name="run_state")]

    def __str__(self) -> str:
        return f"{self.experiment} run {self.index} (seed {self.seed})"

    def get_absolute_url(self) -> str:
        return reverse("evolution:run", args=[self.experiment_id, self.number])

    @property
    def number(self) -> int:
        """Number for people, who count from 1."""
        return self.index + 1
