"""Experiments and single runs beside each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from django import forms
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    FloatField,
    IntegerField,
    JSONField,
    ListField,
    Serializer,
)

from evolution import access, comparison, comparison_fronts, inference, statistics
from evolution.api.base import ApiView
from evolution.api.queries import parameters, read_query
from evolution.api.shapes import NumberField, RuleTextSerializer, fitness_field
from evolution.filters import ComparisonFilter
from evolution.models import Rule
from evolution.views.comparison import MAX_PAIRED_GROUPS, choices, common_task, compared_pairs

if TYPE_CHECKING:
    from rest_framework.request import Request

    from evolution.comparison import Group
    from simulations.learning_tasks import LearningTask

_NUMBERS = {
    "type": "array",
    "items": {"type": "integer", "minimum": 1, "maximum": 10**18 - 1},
}
_RUNS = {"type": "array", "items": {"type": "string", "pattern": "^[0-9]{1,18}-[0-9]{1,9}$"}}


class MeasureForm(forms.Form):
    """How times to the target are measured."""

    clock = forms.ChoiceField(
        required=False, choices=ComparisonFilter.CLOCKS, help_text="Of the times to the target."
    )
    target = forms.FloatField(
        required=False,
        help_text="Fitness that counts as a success; by default that of each experiment.",
    )


class BandSerializer(Serializer):
    """Quantiles over the runs; each value holds from its generation to the next one's."""

    generations = ListField(child=IntegerField())
    low = ListField(child=FloatField(allow_null=True))
    median = ListField(child=FloatField(allow_null=True))
    high = ListField(child=FloatField(allow_null=True))


class GroupChampionSerializer(Serializer):
    """The fittest rule of a group."""

    rule = RuleTextSerializer(allow_null=True)
    fitness = fitness_field()
    run = IntegerField()
    individual = IntegerField(source="index")


class TargetSerializer(Serializer):
    """The fitness that counts as a success."""

    fitness = FloatField()
    is_baseline = BooleanField(help_text="It is that of the best rule of the literature.")


class TimesSerializer(Serializer):
    """When runs reached the target, by the clock that was chosen."""

    reached = ListField(child=FloatField())
    censored = ListField(child=FloatField(), help_text="Of the others: how far they have come.")
    median = FloatField(allow_null=True, help_text="By then half have (Kaplan-Meier).")


class ComparedFrontPointSerializer(Serializer):
    """A rule of the group's Pareto front."""

    rule = RuleTextSerializer()
    complexity = IntegerField()
    fitness = FloatField()


class GroupSerializer(Serializer):
    """The chosen runs of an experiment."""

    key = CharField()
    label = CharField()
    experiment = IntegerField()
    runs = ListField(child=IntegerField())
    final_fitness = ListField(child=FloatField(allow_null=True), help_text="Of each run.")
    n_open = IntegerField(help_text="Runs that may still find something.")
    band = BandSerializer()
    champion = GroupChampionSerializer(allow_null=True)
    n_same = IntegerField(help_text="Runs that ended with a rule that means the same.")
    target = TargetSerializer(
        allow_null=True, help_text="Fitness that counts as a success; null where there is none."
    )
    times = TimesSerializer(
        allow_null=True, help_text="When the runs reached the target; null without a target."
    )
    front = ListField(
        child=ComparedFrontPointSerializer(), help_text="Pareto front, simplest first."
    )


class DifferenceSerializer(Serializer):
    """What a test says about the final fitness of the groups."""

    test = CharField()
    statistic = FloatField(allow_null=True)
    p_value = FloatField(allow_null=True)
    effect_name = CharField()
    effect = FloatField(allow_null=True)
    interval = ListField(child=FloatField(allow_null=True), allow_null=True)
    is_significant = BooleanField()


class PairSerializer(Serializer):
    """Two of several groups."""

    first = CharField(help_text="Key of a group.")
    second = CharField()
    effect = NumberField(help_text="Rank-biserial correlation.")
    p_value = NumberField(help_text="Adjusted for the number of pairs (Holm).")


class DifferingParameterSerializer(Serializer):
    """A parameter that is not the same in all groups."""

    label = CharField()
    unit = CharField()
    help = CharField()
    values = ListField(child=JSONField())


class ComparisonSerializer(Serializer):
    """Experiments and runs beside each other."""

    groups = GroupSerializer(many=True)
    parameters = DifferingParameterSerializer(many=True)
    difference = DifferenceSerializer(
        allow_null=True, help_text="Null where the groups cannot be compared."
    )
    pairs = PairSerializer(
        many=True, help_text=f"Of three to {MAX_PAIRED_GROUPS} groups, two by two."
    )
    time_difference = DifferenceSerializer(
        allow_null=True, help_text="Of the times to the target, by the log-rank test."
    )


class Comparison(ApiView):
    """Experiments beside each other."""

    @extend_schema(
        operation_id="compare",
        summary="Compare experiments and single runs: curves, final fitness, times, parameters",
        parameters=[
            OpenApiParameter("experiment", _NUMBERS, description="Numbers of whole experiments."),
            OpenApiParameter(
                "run", _RUNS, description="Single runs: 12-3 is run 3 of experiment 12."
            ),
            *parameters(MeasureForm, paged=False),
        ],
        responses=ComparisonSerializer,
    )
    def get(self, request: Request) -> Response:
        measures = read_query(request, MeasureForm(request.GET), also=("experiment", "run"))
        visible = access.visible_experiments(request.user)
        groups = comparison.groups_of(*choices(request.GET), visible)
        body = {
            "groups": [_group(group) for group in groups],
            "parameters": comparison.differing_parameters(groups) if groups else [],
            "difference": None,
            "pairs": [],
            "time_difference": None,
        }
        task = common_task(groups)
        if task is not None:
            _add_results(body, groups, task, measures)
        return Response(ComparisonSerializer(body).data)


def _group(group: Group) -> dict[str, Any]:
    band = statistics.quantile_band(group.curves)
    return {
        "key": group.key,
        "label": group.label,
        "experiment": group.experiment.pk,
        "runs": [run.number for run in group.runs],
        "final_fitness": _finite(group.final_fitness),
        "n_open": group.n_open,
        "band": {
            "generations": band.generations,
            **{name: _finite(getattr(band, name)) for name in ("low", "median", "high")},
        },
        "champion": None,
        "n_same": 0,
        "target": None,
        "times": None,
        "front": [],
    }


def _add_results(
    body: dict[str, Any], groups: list[Group], task: LearningTask, measures: dict[str, Any]
) -> None:
    """Add what can only be said of groups whose fitness values mean the same."""
    comparison.add_targets(groups, task, measures["target"])
    times = comparison.times_to_target(groups, measures["clock"] or "generations")
    champions = comparison.champions(groups)
    fronts = comparison_fronts.fronts(groups)
    rules = Rule.objects.in_bulk({point.rule_id for front in fronts for point in front})
    for shown, group, own, front in zip(body["groups"], groups, times, fronts, strict=True):
        best = group.best_run
        champion = champions.get(best.pk) if best else None
        shown |= {
            "champion": champion
            and {
                "rule": champion.rule,
                "fitness": champion.fitness,
                "run": best.number,
                "index": champion.index,
            },
            "n_same": comparison.n_with_the_same_rule(group, champions),
            "target": group.target,
            "times": own,
            "front": [{**vars(point), "rule": rules[point.rule_id]} for point in front],
        }
    finals = [group.final_fitness for group in groups]
    known = [own for own in times if own and own.n_runs]
    body |= {
        "difference": _difference(inference.compare_values(finals)),
        "pairs": [
            {**vars(pair), "first": groups[pair.first].key, "second": groups[pair.second].key}
            for pair in compared_pairs(groups)
        ],
        "time_difference": _difference(inference.compare_times(known)),
    }


def _difference(difference: inference.Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    numbers = {
        name: _finite([getattr(difference, name)])[0] for name in ("statistic", "p_value", "effect")
    }
    interval = difference.interval and _finite(difference.interval)
    return {
        "test": difference.test,
        "effect_name": difference.effect_name,
        "interval": interval,
        "is_significant": difference.is_significant,
        **numbers,
    }


def _finite(values: Any) -> list[float | None]:
    """Return numbers with null for what JSON cannot say."""
    return [None if value is None or not math.isfinite(value) else float(value) for value in values]
