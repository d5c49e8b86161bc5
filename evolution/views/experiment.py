"""The page of one experiment and the data it asks for."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from evolution import selectors
from evolution.enums import ExperimentState, StopReason
from evolution.errors import StateConflict
from evolution.models import Experiment, Individual
from evolution.plots import champion_figure
from evolution.services import control
from evolution.views import presentation

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Rows of the table of improvements; all of them are in the CSV file.
N_IMPROVEMENTS = 200
_HISTORY_PAGE = 5000


@never_cache
@require_safe
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show an experiment as far as it has come; JavaScript keeps the page up to date."""
    experiment = _experiment(pk)
    learning_task = experiment.learning_task
    message = selectors.experiment_message(experiment)
    runs = presentation.run_rows(experiment, message)
    champion = selectors.champion(experiment)
    context = {
        "section": "experiments",
        "experiment": experiment,
        "learning_task": learning_task,
        "message": message,
        "is_over": ExperimentState(message["state"]).is_final,
        "progress": presentation.progress(message),
        "runs": runs.values(),
        "stop_reasons": json.dumps(dict(StopReason.choices)),
        "cursors": json.dumps(presentation.cursors(message)),
        "champion": champion,
        "champion_origin": presentation.origin(champion, runs),
        "branches": presentation.branches(experiment, champion),
        "known_rules": _known_rules(experiment, champion),
        "improvements": presentation.improvement_rows(experiment, runs, limit=N_IMPROVEMENTS),
        "improvements_limit": N_IMPROVEMENTS,
        "has_error_scale": bool(presentation.error_label(learning_task.fitness_label)),
        "plot_summary": presentation.summary(message, runs),
        "parameter_groups": presentation.parameter_groups(experiment),
    }
    return render(request, "evolution/experiment.html", context)


@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    """End an experiment that runs."""
    experiment = _experiment(pk)
    try:
        control.stop_experiment(experiment, by=request.user)
    except StateConflict as error:
        context = {"message": str(error), "back_url": experiment.get_absolute_url()}
        return render(request, "409.html", context, status=409)
    messages.success(request, "The experiment was stopped. What it has found is kept.")
    return redirect(experiment)


@never_cache
@require_safe
def plot(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the plot of the champions' fitness for BokehJS."""
    from bokeh.embed import json_item

    experiment = _experiment(pk)
    labels = {"linear": experiment.learning_task.fitness_label}
    if error := presentation.error_label(labels["linear"]):
        labels["log"] = error
    scale = request.GET.get("scale", "linear")
    if scale not in labels:
        return JsonResponse({"error": f"There is no scale {scale!r} here."}, status=400)
    runs = presentation.run_rows(experiment, selectors.experiment_message(experiment))
    figure = champion_figure(
        presentation.champion_curves(experiment, runs),
        y_label=labels[scale],
        scale=scale,
    )
    return JsonResponse(json_item(figure))


@never_cache
@require_safe
def state(request: HttpRequest, pk: int) -> HttpResponse:
    """Return where the experiment stands."""
    return JsonResponse(selectors.experiment_message(_experiment(pk)))


@never_cache
@require_safe
def known_rules(request: HttpRequest, pk: int) -> HttpResponse:
    """Show how the best rule relates to those of the literature (a part of the page)."""
    experiment = _experiment(pk)
    known = _known_rules(experiment, selectors.champion(experiment))
    return render(request, "evolution/_known_rules.html", {"known_rules": known})


@require_safe
def history(request: HttpRequest, pk: int) -> HttpResponse:
    """Return every completed generation of every run as CSV."""
    experiment = _experiment(pk)
    text = io.StringIO()
    writer = csv.writer(text)
    names = [f"rule_{branch}" for branch in experiment.learning_task.signature.branches]
    writer.writerow(
        ["run", "seed", "generation", "champion_fitness", "is_improvement",
         "n_evaluations", "n_cached", *names]
    )  # fmt: skip
    writer.writerows(_history_rows(experiment, n_branches=len(names)))
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="experiment-{pk}.csv"'
    return response


def _history_rows(experiment: Experiment, *, n_branches: int) -> Iterator[list[Any]]:
    runs = presentation.run_rows(experiment, selectors.experiment_message(experiment))
    cursors: dict[int, int] = {}
    rules: dict[int, list[str]] = {}
    while rows := selectors.generation_messages(
        experiment_id=experiment.pk, cursors=cursors, limit=_HISTORY_PAGE
    ):
        for row in rows:
            cursors[row["run"]] = row["generation"]
            if "rule" in row:
                rules[row["run"]] = row["rule"]["text"]
            yield [
                runs[row["run"]].number,
                runs[row["run"]].seed,
                row["generation"],
                "-inf" if row["fitness"] is None else repr(row["fitness"]),
                int(row["is_improvement"]),
                row["n_evaluations"],
                row["n_cached"],
                *rules.get(row["run"], [""] * n_branches),
            ]


def _known_rules(experiment: Experiment, champion: Individual | None) -> list[dict[str, Any]]:
    known = presentation.known_rules(
        experiment.learning_task_name, tuple(champion.rule.expressions) if champion else None
    )
    evaluations = selectors.baseline_evaluations(experiment, [item["key"] for item in known])
    fitness_of = {
        key: presentation.fitness_of(experiment, evaluation)
        for key, evaluation in evaluations.items()
    }
    return [{**item, "fitness": fitness_of.get(item["key"])} for item in known]


def _experiment(pk: int) -> Experiment:
    try:
        return Experiment.objects.select_related("owner").get(pk=pk)
    except Experiment.DoesNotExist:
        raise Http404(f"There is no experiment {pk}.") from None
