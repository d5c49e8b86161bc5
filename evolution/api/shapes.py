"""Shapes of the answers about experiments, runs and what they found.

A fitness of null is minus infinity: JSON has no such number, and no answer holds one.
"""

from __future__ import annotations

import math
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateTimeField,
    DictField,
    FloatField,
    IntegerField,
    JSONField,
    ListField,
    Serializer,
)

from evolution import listing
from evolution.enums import Action, ExperimentState, Origin, Outcome, StopReason, Visibility

FITNESS_HELP = "Higher is better; null for minus infinity."


def fitness_field(**options: Any) -> FloatField:
    """Return the field of a fitness."""
    return FloatField(allow_null=True, help_text=FITNESS_HELP, **options)


def texts_field(**options: Any) -> ListField:
    """Return the field of a rule: one expression for each branch."""
    return ListField(
        child=CharField(), help_text="One expression for each branch of the rule.", **options
    )


class NumberField(FloatField):
    """A number that was computed; null where there is none, or none that is finite."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_representation(self, value: Any) -> float | None:
        """Return the number."""
        number = super().to_representation(value)
        return number if math.isfinite(number) else None


class RuleTextSerializer(Serializer):
    """A rule as it is simulated."""

    id = IntegerField(source="pk")
    expressions = texts_field()
    complexity = IntegerField(help_text="Number of operators and leaves.")


class RunSerializer(Serializer):
    """A run: one evolution with a seed of its own."""

    number = IntegerField(help_text="Counts from 1 within the experiment.")
    seed = IntegerField()
    state = ChoiceField(choices=ExperimentState.choices)
    stop_reason = ChoiceField(choices=StopReason.choices, allow_blank=True)
    detail = CharField()
    generation = IntegerField(help_text="Last completed one; -1 before the initial population.")
    champion_fitness = fitness_field()
    champion = RuleTextSerializer(allow_null=True, source="champion.rule", default=None)
    improved_at_generation = IntegerField()
    n_evaluations = IntegerField(help_text="Rules whose fitness had to be known.")
    n_cached = IntegerField(help_text="Of these, how many had been asked for before.")
    n_pruned = IntegerField(help_text="Of these, how many were not simulated in all trials.")
    simulated_s = FloatField(help_text="Time of simulation, in s of one core.")
    saved_s = FloatField(help_text="Time that cache and pruning saved, in s of one core.")
    started_at = DateTimeField(allow_null=True)
    finished_at = DateTimeField(allow_null=True)


class ExperimentListedSerializer(Serializer):
    """An experiment as lists show it."""

    id = IntegerField(source="pk")
    name = CharField()
    owner = CharField(source="owner.username", allow_null=True, default=None)
    visibility = ChoiceField(choices=Visibility.choices)
    learning_task = CharField(source="learning_task_name")
    preset = CharField()
    state = ChoiceField(choices=ExperimentState.choices)
    is_archived = serializers.SerializerMethodField()
    tags = ListField(child=CharField())
    seed = IntegerField()
    n_runs = IntegerField()
    n_generations = IntegerField(source="evolution_parameters.n_generations")
    progress = serializers.SerializerMethodField(help_text="Share that is done, from 0 to 1.")
    best_fitness = fitness_field()
    created_at = DateTimeField()
    started_at = DateTimeField(allow_null=True)
    finished_at = DateTimeField(allow_null=True)

    def get_is_archived(self, experiment: Any) -> bool:
        """Whether it was put away."""
        return experiment.archived_at is not None

    def get_progress(self, experiment: Any) -> float:
        """Return the share that is done."""
        return listing.progress(experiment)


class ChampionSerializer(Serializer):
    """The fittest rule of all runs."""

    rule = RuleTextSerializer()
    fitness = fitness_field()
    run = IntegerField()
    individual = IntegerField()
    generation = IntegerField()


class KnownRuleSerializer(Serializer):
    """A rule of the literature."""

    name = CharField()
    reference = CharField()
    fitness = FloatField(
        allow_null=True, help_text="In the same trials; null where it is not known."
    )
    is_champion = BooleanField(help_text="Whether the champion is the same up to a factor.")


class ExperimentSerializer(ExperimentListedSerializer):
    """An experiment with everything but its history."""

    notes = CharField()
    original = IntegerField(
        source="original_id", allow_null=True, help_text="Of a reproduction: what it repeats."
    )
    task_parameters = DictField(child=JSONField())
    evolution_parameters = DictField(child=JSONField())
    provenance = DictField(child=CharField())
    elapsed_s = FloatField(allow_null=True, help_text="Time without pauses, in s.")
    remaining_s = FloatField(allow_null=True, help_text="Estimate at the pace so far, in s.")
    actions = ListField(child=CharField(), help_text="What its state and your role allow.")
    runs = RunSerializer(many=True, source="shown_runs")
    champion = ChampionSerializer(allow_null=True)
    known_rules = KnownRuleSerializer(many=True)


class WorkerShareSerializer(Serializer):
    """Who works."""

    n_alive = IntegerField(help_text="Workers of the installation.")
    n_busy = IntegerField()
    here_by_host = DictField(child=IntegerField(), help_text="Busy with this experiment, by host.")


class SuccessSerializer(Serializer):
    """How many runs have come to the target, and how soon."""

    target = FloatField(source="target.fitness")
    is_baseline = BooleanField(
        source="target.is_baseline", help_text="The target is the best rule of the literature."
    )
    n_reached = IntegerField()
    n_runs = IntegerField()
    n_open = IntegerField(help_text="Runs that may still come to it.")
    median_generation = FloatField(allow_null=True, help_text="Over the runs that reached it.")
    median_s = FloatField(allow_null=True, help_text="The same in time without pauses, in s.")


class EvaluationFiguresSerializer(Serializer):
    """What all runs have cost together."""

    n_asked = IntegerField(help_text="Rules whose fitness had to be known.")
    n_computed = IntegerField(help_text="Of these, how many were simulated.")
    n_cached = IntegerField(help_text="Of these, how many were known.")
    n_pruned = IntegerField(help_text="Of these, how many were not simulated in all trials.")
    computed_s = FloatField(help_text="Time of simulation, in s of one core.")
    saved_s = FloatField(help_text="Time that cache and pruning saved, in s of one core.")


class ExperimentFiguresSerializer(Serializer):
    """What an experiment has cost, who works on it, and how many runs succeeded."""

    evaluations = EvaluationFiguresSerializer()
    workers = WorkerShareSerializer()
    queue_length = IntegerField(
        allow_null=True, help_text="Messages that wait; null where the broker does not answer."
    )
    success = SuccessSerializer(allow_null=True, help_text="Null where there is no target.")


class GenerationSerializer(Serializer):
    """A completed generation; index 0 is the initial population."""

    generation = IntegerField(source="index")
    champion_fitness = fitness_field()
    champion = IntegerField(source="champion.index", help_text="Number of the individual.")
    rule = RuleTextSerializer(source="champion.rule", allow_null=True)
    is_improvement = BooleanField()
    n_evaluations = IntegerField()
    n_cached = IntegerField()
    n_pruned = IntegerField()
    completed_at = DateTimeField(source="created_at")


class IndividualSerializer(Serializer):
    """An individual as lists show it."""

    index = IntegerField(help_text="Number within the run.")
    parent = IntegerField(source="parent_index", allow_null=True)
    birth_generation = IntegerField()
    origin = ChoiceField(choices=Origin.choices)
    outcome = ChoiceField(choices=Outcome.choices)
    fitness = fitness_field()
    rule = RuleTextSerializer(allow_null=True)
    is_neutral = BooleanField(help_text="The rule is exactly the parent's.")


class IndividualDetailSerializer(IndividualSerializer):
    """An individual with its genome and its trials."""

    genome = ListField(
        child=ListField(child=IntegerField()), help_text="Alleles of the genome of each branch."
    )
    constants = JSONField(help_text="Values of parameter nodes, by branch.")
    mutated_genes = ListField(child=ListField(child=IntegerField()))
    trials = ListField(child=FloatField(), help_text="Value of each trial that was simulated.")
    n_trials = IntegerField(help_text="Trials that a fitness is made of.")
    detail = CharField(help_text="More about a failure, for operators.")
    n_offspring = IntegerField()
    offspring = ListField(child=IntegerField(), help_text="Numbers of the first ones.")


class PopulationSerializer(Serializer):
    """Everybody of one generation: survivors first, the fittest first, then the others."""

    generation = IntegerField()
    survivors = ListField(child=IntegerField())
    individuals = IndividualSerializer(many=True)


class LineageStepSerializer(Serializer):
    """A step that changed the rule, on the way from the first ancestor to the champion."""

    individual = IntegerField(source="after.index")
    parent = IntegerField(source="after.parent_index", allow_null=True)
    generation = IntegerField(source="after.birth_generation")
    origin = ChoiceField(source="after.origin", choices=Origin.choices)
    fitness = fitness_field(source="after.fitness")
    rule = RuleTextSerializer(allow_null=True)
    n_neutral = IntegerField(help_text="Mutations before it that left the rule as it was.")


class LineageSerializer(Serializer):
    """The way from the first ancestor to a run's champion."""

    length = IntegerField(help_text="Number of individuals, neutral ones as well.")
    steps = LineageStepSerializer(many=True)


class FailureSerializer(Serializer):
    """An individual that could not be judged."""

    run = IntegerField()
    individual = IntegerField(source="index")
    generation = IntegerField(source="birth_generation")
    outcome = ChoiceField(choices=Outcome.choices)
    rule = RuleTextSerializer(allow_null=True)
    failed_at = DateTimeField(allow_null=True)


class FailuresSerializer(Serializer):
    """What failed in an experiment, and why."""

    counts = DictField(child=IntegerField(), help_text="By outcome.")
    n_retriable = IntegerField(help_text="Evaluations that may be repeated.")
    latest = FailureSerializer(many=True)


def opens_something(secret: Any) -> bool:
    """Return whether a link or a token is neither revoked nor expired."""
    is_over = secret.expires_at is not None and secret.expires_at <= timezone.now()
    return secret.revoked_at is None and not is_over


class LogEntrySerializer(Serializer):
    """What somebody did to an experiment."""

    who = CharField()
    action = ChoiceField(choices=Action.choices)
    detail = CharField()
    at = DateTimeField(source="created_at")
