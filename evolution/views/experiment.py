"""The page of one experiment and the data it asks for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evolution import access, selectors
from evolution.enums import Action, ExperimentState, StopReason
from evolution.forms import ExtensionForm, LabelsForm
from evolution.plots import MAX_LEGEND_ENTRIES, band_columns, champion_figure, without_gaps
from evolution.services import audit, control, experiments
from evolution.views import presentation, tables
from evolution.views.context import of_experiment
from evolution.views.experiment_tables import experiment_tables
from evolution.views.guards import open_to_link_holders
from evolution.views.lookup import experiment_or_404
from evolution.views.written import KEPT_S, written

if TYPE_CHECKING:
    from evolution.models import Experiment

#: Rows of the table of improvements; all of them are in the CSV file.
N_IMPROVEMENTS = 50
#: Failures that the page lists, the latest ones.
N_FAILURES = 20


@open_to_link_holders
@never_cache
@require_safe
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show an experiment as far as it has come; JavaScript keeps the page up to date."""
    experiment = experiment_or_404(pk, request.user)
    if tables.is_wanted(request):
        found = experiment_tables(experiment, with_details=access.is_operator(request.user))
        return tables.answer(request, f"experiment-{pk}", found)
    learning_task = experiment.learning_task
    run_list = selectors.runs_of(experiment)
    message = selectors.experiment_message(experiment, run_list)
    runs = presentation.run_rows(run_list)
    champion = selectors.champion(experiment, run_list)
    known = presentation.known_rules_of(experiment, champion)
    log = selectors.log_of(experiment)
    improvements = presentation.improvement_rows(experiment, runs, limit=N_IMPROVEMENTS)
    context = {
        "section": "experiments",
        "experiment": experiment,
        "learning_task": learning_task,
        "message": message,
        "is_over": ExperimentState(message["state"]).is_final,
        "progress": presentation.progress(message),
        "runs": runs.values(),
        "history_digest": presentation.history_digest(runs.values(), improvements),
        "stop_reasons": json.dumps(dict(StopReason.choices)),
        "cursors": json.dumps(presentation.cursors(message)),
        "champion": champion,
        "champion_found_at": runs[champion.run_id].improved_at if champion else "",
        "champion_origin": presentation.origin(champion, runs),
        "branches": presentation.branches(experiment, champion),
        "known_rules": known,
        "improvements": improvements,
        "improvements_limit": N_IMPROVEMENTS,
        "has_error_scale": bool(presentation.error_label(learning_task.fitness_label)),
        "plot_summary": presentation.summary(message, runs),
        "has_marks": len(runs) <= MAX_LEGEND_ENTRIES,
        "parameter_groups": presentation.parameter_groups(experiment),
        "seeds": presentation.seeds(experiment),
        "kept_s": KEPT_S,
        "labels_form": LabelsForm.for_experiment(experiment),
        **_actions(request, experiment),
        **presentation.figures(experiment, run_list, known, log),
        **presentation.records(experiment, run_list, log, limit=N_FAILURES),
    }
    return render(request, "evolution/experiment.html", context)


@open_to_link_holders
@never_cache
@require_safe
def actions(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what can be done with an experiment in its present state (a part of the page)."""
    experiment = experiment_or_404(pk, request.user)
    context = {"experiment": experiment, **_actions(request, experiment)}
    return render(request, "evolution/_experiment_actions.html", context)


@open_to_link_holders
@never_cache
@require_safe
def figures(request: HttpRequest, pk: int) -> HttpResponse:
    """Show evaluations, workers and the success of all runs (a part of the page)."""
    experiment = experiment_or_404(pk, request.user)
    runs, log = selectors.runs_of(experiment), selectors.log_of(experiment)
    context = presentation.figures_part(experiment, runs, log)
    return render(request, "evolution/_experiment_figures.html", context)


@open_to_link_holders
@never_cache
@require_safe
def records(request: HttpRequest, pk: int) -> HttpResponse:
    """Show failures and what people did (a part of the page); 204 if the page has it all."""
    experiment = experiment_or_404(pk, request.user)
    is_over = ExperimentState(experiment.state).is_final
    found = presentation.records(
        experiment,
        selectors.runs_of(experiment),
        selectors.log_of(experiment),
        limit=N_FAILURES,
    )
    if request.GET.get("seen") == found["digest"] and not is_over:
        return HttpResponse(status=204)
    context = {
        "experiment": experiment,
        "is_over": is_over,
        **of_experiment(request.user, experiment),
        **found,
    }
    return render(request, "evolution/_experiment_records.html", context)


@open_to_link_holders
@never_cache
@require_safe
def plot(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the plot of the champions' fitness for BokehJS."""
    experiment = experiment_or_404(pk, request.user)
    scale, y_label = _scale(request, experiment)
    if y_label is None:
        return JsonResponse({"error": f"There is no scale {scale!r} here."}, status=400)
    runs = presentation.run_rows(selectors.runs_of(experiment))

    def draw() -> str:
        curves = presentation.champion_curves(experiment, runs)
        return champion_figure(
            curves,
            y_label=y_label,
            scale=scale,
            band=presentation.band(curves, runs) if len(curves) > 1 else None,
        )

    # While an experiment goes on there are others with each generation.
    if ExperimentState(experiment.state).is_final:
        facts = (experiment.pk, y_label, scale, list(runs.values()))
        return presentation.figure_response(written("champions", facts, draw))
    return presentation.figure_response(draw())


@open_to_link_holders
@never_cache
@require_safe
def band(request: HttpRequest, pk: int) -> HttpResponse:
    """Return median and quartiles over the runs as the columns of their curves in the plot."""
    experiment = experiment_or_404(pk, request.user)
    scale, y_label = _scale(request, experiment)
    if y_label is None:
        return JsonResponse({"error": f"There is no scale {scale!r} here."}, status=400)
    runs = presentation.run_rows(selectors.runs_of(experiment))
    curves = presentation.champion_curves(experiment, runs)
    columns = band_columns(presentation.band(curves, runs), is_log=scale == "log")
    return JsonResponse(without_gaps(columns))


def _scale(request: HttpRequest, experiment: Experiment) -> tuple[str, str | None]:
    """Return the scale that an address asks for and the label of its axis, None if unknown."""
    labels = presentation.fitness_axes(experiment.learning_task)
    scale = request.GET.get("scale", "linear")
    return scale, labels.get(scale)


def _actions(request: HttpRequest, experiment: Experiment) -> dict[str, Any]:
    permitted = of_experiment(request.user, experiment)
    is_allowed = permitted["may_change"]
    return {
        **permitted,
        "possible": control.possible_actions(experiment) if is_allowed else set(),
        "can_be_reproduced": (
            access.may_simulate(request.user) and experiments.can_be_reproduced(experiment)
        ),
        "extension_form": ExtensionForm.for_experiment(experiment),
    }


@open_to_link_holders
@never_cache
@require_safe
def state(request: HttpRequest, pk: int) -> HttpResponse:
    """Return where the experiment stands."""
    return JsonResponse(selectors.experiment_message(experiment_or_404(pk, request.user)))


@open_to_link_holders
@require_safe
def history(request: HttpRequest, pk: int) -> HttpResponse:
    """Return every completed generation of every run as CSV."""
    return history_response(request, experiment_or_404(pk, request.user))


def history_response(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """Return the history of an experiment as CSV, and write down who took it."""
    audit.record(Action.EXPORTED, by=request.user, experiment=experiment, detail="history.csv")
    found = experiment_tables(experiment, with_details=False)
    return tables.file(request, f"experiment-{experiment.pk}.csv", found["generations"]())
