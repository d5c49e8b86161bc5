"""Shapes of the bodies about rules and simulations."""

from __future__ import annotations

from typing import Any

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

from evolution.api.asking import InPresetSerializer
from evolution.api.parameters import LearningTaskField
from evolution.api.shapes import RuleTextSerializer, fitness_field, texts_field
from evolution.enums import ProbeState
from evolution.exports import FORMS
from nest_build.rules import MAX_LENGTH


class RuleInputSerializer(Serializer):
    """A rule of a learning task."""

    learning_task = LearningTaskField()
    expressions = ListField(
        child=CharField(max_length=MAX_LENGTH, trim_whitespace=False),
        min_length=1,
        max_length=16,
        help_text="One for each branch, in the order of the learning task.",
    )


class NoteTextSerializer(Serializer):
    """Name and notes of a rule."""

    name = CharField(max_length=100)
    text = CharField(max_length=5000, allow_blank=True, default="")


class KeepSerializer(RuleInputSerializer):
    """A rule to keep."""

    name = CharField(max_length=100, required=False)
    text = CharField(max_length=5000, allow_blank=True, default="")


class NoteSerializer(Serializer):
    """What somebody noted about a rule."""

    author = CharField()
    name = CharField()
    text = CharField()


class CheckedRuleSerializer(Serializer):
    """What a rule is."""

    expressions = texts_field()
    latex = ListField(child=CharField())
    mathml = ListField(child=CharField())
    complexity = IntegerField()
    known = RuleTextSerializer(many=True, help_text="Equivalent rules of the catalogue.")
    literature = ListField(child=CharField(), help_text="Rules of the literature that it is.")


class RuleSerializer(RuleTextSerializer):
    """A rule of the catalogue."""

    inputs = ListField(child=CharField(), source="input_names")
    branches = ListField(child=CharField(), source="branch_names")
    latex = ListField(child=CharField())
    fingerprint = CharField(help_text="Equal for rules that mean the same.")
    family = CharField(help_text="Equal for rules that are the same up to a positive factor.")
    n_runs = IntegerField(help_text="Runs that have found it, or an equivalent one.")
    n_experiments = IntegerField()
    notes = NoteSerializer(many=True, source="shown_notes")
    first_known_at = DateTimeField(source="created_at")


class RuleClassSerializer(Serializer):
    """A class of equivalent rules."""

    rule = RuleTextSerializer()
    names = serializers.SerializerMethodField(help_text="That people gave it.")
    fitness = fitness_field(source="evaluation.score", default=None)
    n_trials = IntegerField(source="evaluation.n_trials_done", default=0)
    context = IntegerField(source="evaluation.context_id", allow_null=True, default=None)
    n_forms = IntegerField(help_text="Equivalent forms that are known.")
    n_runs = IntegerField(help_text="Runs that have found it; a lower bound for many forms.")
    n_experiments = IntegerField()

    def get_names(self, found: Any) -> list[str]:
        """Return the names of any of its forms."""
        return self.context.get("names", {}).get(found.rule.fingerprint, [])


class OccurrenceSerializer(Serializer):
    """The first individual of a run with a rule."""

    experiment = IntegerField(source="experiment_id")
    experiment_name = CharField()
    run = IntegerField(source="run_number")
    individual = IntegerField(source="index")
    generation = IntegerField()
    fitness = fitness_field()


class RuleEvaluationSerializer(Serializer):
    """The trials of a rule in one context."""

    context = IntegerField(source="context_id")
    learning_task = CharField(source="context.learning_task_name")
    seed = IntegerField(source="context.seed")
    trials = ListField(child=FloatField())
    fitness = fitness_field(source="score")
    reason = CharField(help_text="Why the next trial has no value; empty otherwise.")
    experiments = ListField(child=IntegerField())


class ContextSerializer(Serializer):
    """Trials in which fitness values are comparable."""

    id = IntegerField(source="pk")
    n_trials = IntegerField()
    seed = IntegerField()
    preset = CharField()
    experiments = serializers.SerializerMethodField(help_text="Experiments that use them.")

    def get_experiments(self, context: Any) -> list[int]:
        """Return their numbers."""
        return [number for number, _ in context.experiments]


class FrontPointSerializer(Serializer):
    """A rule in the plane of complexity and fitness."""

    rule = RuleTextSerializer()
    complexity = IntegerField()
    fitness = FloatField()
    layer = IntegerField(help_text="0 for the Pareto front, 1 for the one behind it.")


class ExportSerializer(Serializer):
    """A rule as text."""

    name = ChoiceField(choices=[(form.name, form.title) for form in FORMS.values()])
    text = CharField()


class SimulateSerializer(InPresetSerializer):
    """A simulation: of a rule of the catalogue, or of one that is written down."""

    rule = IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    expressions = ListField(
        child=CharField(max_length=MAX_LENGTH, trim_whitespace=False),
        min_length=1,
        max_length=16,
        required=False,
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """Want one of both."""
        if ("rule" in values) == ("expressions" in values):
            raise serializers.ValidationError("Give either rule or expressions.")
        return super().validate(values)


class SimulationSerializer(Serializer):
    """The behaviour of a rule in one trial."""

    id = IntegerField(source="pk")
    rule = RuleTextSerializer()
    learning_task = CharField(source="learning_task_name")
    preset = CharField()
    seed = IntegerField()
    task_parameters = DictField(child=JSONField())
    state = ChoiceField(choices=ProbeState.choices)
    estimated_s = FloatField(help_text="How long it takes, roughly, in s.")
    reason = CharField(help_text="Why there is no result; empty otherwise.")
    detail = CharField()
    value = FloatField(
        source="result.value", allow_null=True, default=None, help_text="Of the trial."
    )
    has_recording = BooleanField(
        source="result.has_recording", default=False, help_text="Whether get_recording has it."
    )
    panels = serializers.SerializerMethodField(help_text="Titles and summaries of its plots.")
    created_at = DateTimeField()
    started_at = DateTimeField(allow_null=True)
    finished_at = DateTimeField(allow_null=True)

    def get_panels(self, probe: Any) -> list[dict[str, str]]:
        """Return what the plots show."""
        return probe.result.get("panels", [])
