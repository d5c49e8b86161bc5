"""Runs: their generations, individuals and lineages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from evolution import access, genealogy, selectors
from evolution.api.base import ApiView
from evolution.api.queries import page_of, parameters, read_page
from evolution.api.shapes import (
    GenerationSerializer,
    IndividualDetailSerializer,
    IndividualSerializer,
    LineageSerializer,
    PopulationSerializer,
    RunSerializer,
)
from evolution.filters import IndividualFilter
from evolution.models import Generation, Individual
from evolution.views.individuals import N_OFFSPRING, filtered_individuals
from evolution.views.lookup import experiment_or_404
from evolution.views.runs import get_run

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

    from evolution.models import Run


class GenerationForm(forms.Form):
    """Which generations of a run are wanted."""

    improvements = forms.ChoiceField(
        required=False,
        choices=[("true", "true"), ("false", "false")],
        help_text="Only generations whose champion was fitter than all before.",
    )
    after = forms.IntegerField(
        required=False,
        min_value=-1,
        max_value=2**31 - 1,
        help_text="Only generations after this one: what is new since you asked last.",
    )


class RunList(ApiView):
    """The runs of an experiment."""

    @extend_schema(
        operation_id="list_runs",
        summary="List the runs of an experiment",
        parameters=parameters(),
        responses=page_of(RunSerializer),
    )
    def get(self, request: Request, pk: int) -> Response:
        page, _ = read_page(request)
        runs = experiment_or_404(pk, request.user).runs.without_engine_state()
        found = with_champions(runs).order_by("index")
        return Response(page.of(found, RunSerializer, with_generations))


class RunDetail(ApiView):
    """One run."""

    @extend_schema(operation_id="get_run", summary="Show a run", responses=RunSerializer)
    def get(self, request: Request, pk: int, number: int) -> Response:
        run = get_run(pk, number, request.user)
        (shown,) = with_generations([with_champions(type(run).objects.all()).get(pk=run.pk)])
        return Response(RunSerializer(shown).data)


class GenerationList(ApiView):
    """The history of a run."""

    @extend_schema(
        operation_id="list_generations",
        summary="List the completed generations of a run",
        parameters=parameters(GenerationForm),
        responses=page_of(GenerationSerializer),
    )
    def get(self, request: Request, pk: int, number: int) -> Response:
        run = get_run(pk, number, request.user)
        page, values = read_page(request, GenerationForm(request.GET))
        found = Generation.objects.filter(run=run).select_related("champion__rule")
        if values["improvements"] == "true":
            found = found.filter(is_improvement=True)
        if values["after"] is not None:
            found = found.filter(index__gt=values["after"])
        found = found.defer(*LARGE_OF_CHAMPION, "parents").order_by("index")
        return Response(page.of(found, GenerationSerializer))


class Population(ApiView):
    """Everybody of a generation."""

    @extend_schema(
        operation_id="get_population",
        summary="Show who survived a generation, and who was born in it",
        responses=PopulationSerializer,
    )
    def get(self, request: Request, pk: int, number: int, index: int) -> Response:
        run = get_run(pk, number, request.user)
        generation = Generation.objects.filter(run=run, index=index).first()
        if generation is None:
            last = selectors.last_generation(run)
            raise Http404(f"There is no generation {index}. The last one is {last}.")
        (survivors,) = generation.parents or [[]]
        body = {
            "generation": index,
            "survivors": survivors,
            "individuals": genealogy.population(run, index, survivors),
        }
        return Response(PopulationSerializer(body).data)


class IndividualList(ApiView):
    """The individuals of a run."""

    @extend_schema(
        operation_id="list_individuals",
        summary="List the individuals of a run",
        parameters=parameters(IndividualFilter),
        responses=page_of(IndividualSerializer),
    )
    def get(self, request: Request, pk: int, number: int) -> Response:
        run = get_run(pk, number, request.user)
        page, values = read_page(request, IndividualFilter(request.GET))
        return Response(page.of(filtered_individuals(run, values), IndividualSerializer))


class IndividualDetail(ApiView):
    """One individual."""

    @extend_schema(
        operation_id="get_individual",
        summary="Show an individual with its genome and its trials",
        responses=IndividualDetailSerializer,
    )
    def get(self, request: Request, pk: int, number: int, index: int) -> Response:
        run = get_run(pk, number, request.user)
        found = Individual.objects.select_related("rule", "evaluation")
        individual = found.filter(run=run, index=index).first()
        if individual is None:
            raise Http404(f"Run {number} has no individual {index}.")
        offspring, individual.n_offspring = genealogy.offspring(run, individual, N_OFFSPRING)
        individual.offspring = [child.index for child in offspring]
        individual.n_trials = run.experiment.task_parameters.get("n_trials", 0)
        evaluation = individual.evaluation
        individual.trials = evaluation.trials[: individual.n_trials] if evaluation else []
        may_see_detail = evaluation is not None and access.is_operator(request.user)
        individual.detail = evaluation.detail if may_see_detail else ""
        return Response(IndividualDetailSerializer(individual).data)


class Lineage(ApiView):
    """Where a champion comes from."""

    @extend_schema(
        operation_id="get_lineage",
        summary="Show the way from the first ancestor to the champion of a run",
        responses=LineageSerializer,
    )
    def get(self, request: Request, pk: int, number: int) -> Response:
        run = get_run(pk, number, request.user)
        if run.champion_index is None:
            return Response({"length": 0, "steps": []})
        lineage = genealogy.collapse(genealogy.ancestors(run, run.champion_index))
        found = genealogy.individuals_by_index(run, [step.after.index for step in lineage.changes])
        steps = [
            {
                "after": step.after,
                "rule": found[step.after.index].rule,
                "n_neutral": step.n_neutral,
            }
            for step in lineage.changes
        ]
        return Response(LineageSerializer({"length": lineage.length, "steps": steps}).data)


#: Columns of a champion that no list needs.
LARGE_OF_CHAMPION = ("champion__genome", "champion__mutated_genes", "champion__constants")


def with_champions(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Load runs with their champions' rules, without what no list needs."""
    return runs.select_related("champion__rule").defer(
        "engine_state", "pending", *LARGE_OF_CHAMPION
    )


def with_generations(runs: list[Run]) -> list[Run]:
    """Tell each run how far it has come."""
    for run in runs:
        run.generation = selectors.last_generation(run)
    return runs
