"""Experiments: listing, launching, controlling."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.response import Response

from evolution import access, listing, selectors, statistics
from evolution.api.base import ApiView, created, files_of
from evolution.api.launching import (
    BulkOutcomeSerializer,
    BulkSerializer,
    ChangesSerializer,
    CloneSerializer,
    EstimateSerializer,
    ExtensionSerializer,
    LaunchSerializer,
    clone,
    create,
    parameter_errors,
)
from evolution.api.parameters import EVOLUTION
from evolution.api.problems import Invalid, at
from evolution.api.queries import page_of, parameters, read_page
from evolution.api.runs import with_champions, with_generations
from evolution.api.shapes import (
    ExperimentFiguresSerializer,
    ExperimentListedSerializer,
    ExperimentSerializer,
    FailuresSerializer,
    LogEntrySerializer,
)
from evolution.enums import Visibility
from evolution.forms import ListForm
from evolution.services import control, experiments, several, sharing
from evolution.views import presentation
from evolution.views.experiment import history_response
from evolution.views.guards import check_may_change_all
from evolution.views.lookup import experiment_or_404, experiment_to_change, experiments_among
from simulations.learning_tasks import learning_task_names
from simulations.parameters import ParameterError

if TYPE_CHECKING:
    from rest_framework.request import Request

    from evolution.access import Person
    from evolution.models import Experiment

N_FAILURES = 50

_LAUNCH_EXAMPLE = OpenApiExample(
    "A short experiment",
    {
        "learning_task": "error-driven",
        "preset": "demo",
        "name": "Twenty generations",
        "n_runs": 2,
        "seed": 7,
        "evolution_parameters": {"n_generations": 20, "primitives": ["Add", "Sub", "Mul"]},
    },
    request_only=True,
)


class ExperimentList(ApiView):
    """All experiments that may be seen."""

    @extend_schema(
        operation_id="list_experiments",
        summary="List experiments",
        parameters=parameters(ListForm({}, tasks={}, owners=list)),
        responses=page_of(ExperimentListedSerializer),
    )
    def get(self, request: Request) -> Response:
        visible = access.visible_experiments(request.user)
        tasks = {name: name for name in learning_task_names()}
        form = ListForm(request.GET, tasks=tasks, owners=lambda: listing.owner_names(visible))
        page, filters = read_page(request, form)
        found = listing.experiments_for_list(filters, visible)
        return Response(page.of(found, ExperimentListedSerializer))

    @extend_schema(
        operation_id="launch_experiment",
        summary="Create an experiment and launch it",
        request=LaunchSerializer,
        responses={201: ExperimentSerializer},
        examples=[_LAUNCH_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        values = self.read(LaunchSerializer)
        return self.once(lambda: _created(create(values, request.user), request.user))


class ExperimentEstimate(ApiView):
    """How long an experiment would take."""

    @extend_schema(
        operation_id="estimate_experiment",
        summary="Estimate how long an experiment would take",
        request=LaunchSerializer,
        responses=EstimateSerializer,
    )
    def post(self, request: Request) -> Response:
        values = self.read(LaunchSerializer)
        seconds = experiments.estimate_duration(
            values["learning_task"],
            values["task_parameters"],
            values["evolution_parameters"],
            n_runs=values["n_runs"],
        )
        return Response({"seconds": seconds})


class ExperimentDetail(ApiView):
    """One experiment."""

    @extend_schema(
        operation_id="get_experiment",
        summary="Show an experiment: state, parameters, runs, champion",
        responses=ExperimentSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(described_experiment(experiment_or_404(pk, request.user), request.user))

    @extend_schema(
        operation_id="change_experiment",
        summary="Change tags, notes and who may read it",
        request=ChangesSerializer,
        responses=ExperimentSerializer,
    )
    def patch(self, request: Request, pk: int) -> Response:
        experiment = experiment_to_change(pk, request.user)
        values = self.read(ChangesSerializer)
        with transaction.atomic():
            if "tags" in values or "notes" in values:
                experiments.label_experiment(
                    experiment,
                    tags=values.get("tags", experiment.tags),
                    notes=values.get("notes", experiment.notes),
                    by=request.user,
                )
            if "visibility" in values:
                visibility = Visibility(values["visibility"])
                sharing.set_visibility(experiment, visibility, by=request.user)
        return Response(described_experiment(experiment, request.user))

    @extend_schema(
        operation_id="delete_experiment",
        summary="Delete an experiment that has ended, with its history",
        responses={204: None},
    )
    def delete(self, request: Request, pk: int) -> Response:
        control.delete_experiment(experiment_to_change(pk, request.user), by=request.user)
        return Response(status=HTTPStatus.NO_CONTENT)


class ExperimentClone(ApiView):
    """Copies of an experiment."""

    @extend_schema(
        operation_id="clone_experiment",
        summary="Create an experiment like this one, with changes",
        request=CloneSerializer,
        responses={201: ExperimentSerializer},
    )
    def post(self, request: Request, pk: int) -> Response:
        original = experiment_or_404(pk, request.user)
        values = self.read(CloneSerializer)
        return self.once(lambda: _created(clone(original, values, request.user), request.user))


class ExperimentExtend(ApiView):
    """Extension of an experiment."""

    @extend_schema(
        operation_id="extend_experiment",
        summary="Let an experiment have more generations or runs",
        request=ExtensionSerializer,
        responses=ExperimentSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        experiment = experiment_to_change(pk, request.user)
        values = self.read(ExtensionSerializer)
        try:
            control.extend_experiment(experiment, by=request.user, **values)
        except ParameterError as error:
            raise Invalid(parameter_errors(EVOLUTION, error)) from None
        return Response(described_experiment(experiment, request.user))


def _action(name: str, service: Any, summary: str) -> type[ApiView]:
    """Return the view of an action that needs nothing but the experiment."""

    class Act(ApiView):
        @extend_schema(
            operation_id=f"{name}_experiment",
            summary=summary,
            request=None,
            responses=ExperimentSerializer,
        )
        def post(self, request: Request, pk: int) -> Response:
            experiment = experiment_to_change(pk, request.user)
            service(experiment, by=request.user)
            return Response(described_experiment(experiment, request.user))

    Act.__name__ = Act.__qualname__ = f"Experiment{name.capitalize()}"
    Act.__doc__ = f"{summary}."
    return Act


ACTIONS = {
    name: _action(name, service, summary)
    for name, service, summary in (
        ("start", experiments.launch_experiment, "Launch an experiment that was only created"),
        ("pause", control.pause_experiment, "Let a running experiment rest"),
        ("resume", control.resume_experiment, "Let an experiment that rests, or failed, go on"),
        ("stop", control.stop_experiment, "End an experiment; what it has found is kept"),
        ("archive", control.archive_experiment, "Put an experiment away"),
        ("unarchive", control.unarchive_experiment, "Take an experiment out of the archive"),
        ("retry", control.retry_failures, "Repeat evaluations that failed by accident"),
    )
}


class ExperimentBulk(ApiView):
    """Several experiments at once."""

    @extend_schema(
        operation_id="act_on_experiments",
        summary="Do the same to several experiments; say of each whether it was done",
        description="You must be allowed to change all of them. What the state of one refuses "
        "stops no other.",
        request=BulkSerializer,
        responses=BulkOutcomeSerializer(many=True),
    )
    def post(self, request: Request) -> Response:
        values = self.read(BulkSerializer)
        numbers = values["experiments"]
        found = experiments_among(numbers, request.user)
        known = {experiment.pk for experiment in found}
        missing = [
            at(f"There is no experiment {number}.", "experiments", place)
            for place, number in enumerate(numbers)
            if number not in known
        ]
        if missing:
            raise Invalid(missing)
        check_may_change_all(request.user, found)
        outcomes = several.act_on_each(values["action"], found, by=request.user)
        return Response(BulkOutcomeSerializer(outcomes, many=True).data)


class ExperimentFigures(ApiView):
    """Figures of an experiment as a whole."""

    @extend_schema(
        operation_id="get_experiment_figures",
        summary="Show what an experiment has cost, who works on it, and how many runs succeeded",
        responses=ExperimentFiguresSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        experiment = experiment_or_404(pk, request.user)
        known = presentation.known_rules_of(experiment, None)
        found = presentation.figures(
            experiment, selectors.runs_of(experiment), known, selectors.log_of(experiment)
        )
        return Response(ExperimentFiguresSerializer(found).data)


class ExperimentFailures(ApiView):
    """What failed."""

    @extend_schema(
        operation_id="list_failures",
        summary="Show what failed in an experiment, and why",
        responses=FailuresSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        experiment = experiment_or_404(pk, request.user)
        runs = selectors.runs_of(experiment)
        numbers = {run.pk: run.number for run in runs}
        counts = statistics.failure_counts(experiment, runs)
        latest = statistics.latest_failures(runs, limit=N_FAILURES) if counts.total else []
        shown = [
            {
                "run": numbers[failure.run_id],
                "index": failure.index,
                "birth_generation": failure.birth_generation,
                "outcome": failure.outcome,
                "rule": failure.rule,
                "failed_at": failure.failed_at,
            }
            for failure in latest
        ]
        body = {
            "counts": {str(outcome): n for outcome, n in counts.by_reason.items()},
            "n_retriable": counts.n_retriable,
            "latest": shown,
        }
        return Response(FailuresSerializer(body).data)


class ExperimentLog(ApiView):
    """What people did."""

    @extend_schema(
        operation_id="list_log",
        summary="List what people did to an experiment, the latest first",
        parameters=parameters(),
        responses=page_of(LogEntrySerializer),
    )
    def get(self, request: Request, pk: int) -> Response:
        experiment = experiment_or_404(pk, request.user)
        page, _ = read_page(request)
        return Response(page.of(selectors.log_of(experiment), LogEntrySerializer))


class ExperimentHistory(ApiView):
    """The whole history as a table."""

    renderer_classes = (files_of("text/csv"),)

    @extend_schema(
        operation_id="export_history",
        summary="Download every generation of every run as CSV",
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        return history_response(request, experiment_or_404(pk, request.user))


def _created(experiment: Experiment, user: Person) -> Any:
    location = reverse("api:experiment", args=[experiment.pk])
    return created(described_experiment(experiment, user), location)


def described_experiment(experiment: Experiment, user: Person) -> dict[str, Any]:
    """Return the body that shows an experiment."""
    (listed,) = listing.experiments_for_list(
        {"show": "all"}, type(experiment).objects.filter(pk=experiment.pk)
    )
    runs = with_generations(list(with_champions(listed.runs.all()).order_by("index")))
    listed.shown_runs = runs
    message = selectors.experiment_message(listed, runs)
    best = selectors.best_run(runs)
    listed.champion = best and {
        "rule": best.champion.rule,
        "fitness": best.champion_fitness,
        "run": best.number,
        "individual": best.champion.index,
        "generation": best.improved_at_generation,
    }
    listed.elapsed_s, listed.remaining_s = message["elapsed_s"], message["remaining_s"]
    listed.known_rules = [
        {**item, "is_champion": item["is_same"]}
        for item in presentation.known_rules_of(listed, best.champion if best else None)
    ]
    is_allowed = access.may_change(user, listed)
    listed.actions = sorted(control.possible_actions(listed)) if is_allowed else []
    return ExperimentSerializer(listed).data
