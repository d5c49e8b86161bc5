"""The list of experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.paginator import Paginator
from django.shortcuts import render
from django.views.decorators.http import require_safe

from evolution import selectors
from evolution.enums import ExperimentState
from evolution.models import Experiment, Rule

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

PER_PAGE = 25


@require_safe
def experiment_list(request: HttpRequest) -> HttpResponse:
    """Show all experiments, newest first; for htmx only the table, which renews itself."""
    page = Paginator(selectors.experiments_for_list(), PER_PAGE).get_page(request.GET.get("page"))
    rules = Rule.objects.in_bulk({item.best_rule_id for item in page if item.best_rule_id})
    rows = [
        {
            "experiment": experiment,
            "best_rule": rules.get(experiment.best_rule_id),
            "progress": _progress(experiment),
        }
        for experiment in page
    ]
    context = {
        "section": "experiments",
        "page": page,
        "rows": rows,
        "is_any_running": any(
            not ExperimentState(row["experiment"].state).is_final for row in rows
        ),
    }
    template = "evolution/_experiment_table.html" if request.htmx else "evolution/experiments.html"
    return render(request, template, context)


def _progress(experiment: Experiment) -> float:
    """Return the share that is done, from 0 to 1; what was stopped stays where it was."""
    if experiment.state == ExperimentState.FINISHED:
        return 1.0
    wanted = experiment.n_runs * experiment.evolution_parameters["n_generations"]
    return min(1.0, experiment.n_generations_done / wanted)
