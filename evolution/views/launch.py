"""Pages that set up an experiment and launch it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from evolution.cgp.parameters import EvolutionParameters
from evolution.errors import InvalidExperiment
from evolution.forms import ExperimentForm
from evolution.services import experiments
from evolution.views.guards import for_members
from evolution.views.lookup import experiment_or_404
from simulations.learning_tasks import (
    LearningTask,
    UnknownLearningTask,
    get_learning_task,
    learning_task_names,
)
from simulations.parameters import ParameterError

if TYPE_CHECKING:
    from evolution.access import Person


@for_members
@require_http_methods(["GET", "HEAD", "POST"])
def new_experiment(request: HttpRequest) -> HttpResponse:
    """Show the form of a new experiment, or launch what it says."""
    chosen = _chosen(request)
    if request.method != "POST":
        return _render_form(request, ExperimentForm(**chosen))
    form = ExperimentForm(request.POST, **chosen)
    if not form.is_valid():
        return _render_form(request, form, status=422)
    values = form.cleaned_data
    try:
        experiment, is_new = experiments.create_experiment(
            owner=request.user,
            name=values["name"],
            learning_task=form.learning_task,
            preset=form.original.preset if form.original else form.preset.name,
            task_parameters=form.task_parameters,
            evolution_parameters=form.evolution_parameters,
            seed=values["seed"],
            n_runs=values["n_runs"],
            submission_token=values["submission_token"],
            visibility=values["visibility"],
        )
    except InvalidExperiment as error:
        form.add_error(None, str(error))
        return _render_form(request, form, status=422)
    if is_new:
        experiments.launch_experiment(experiment, by=request.user)
    else:
        messages.info(request, "This experiment has been launched already. Here it is.")
    return redirect(experiment)


@for_members
@require_POST
def estimate(request: HttpRequest) -> HttpResponse:
    """Say how long the experiment in the form will take (a part of the page, for htmx)."""
    form = ExperimentForm(request.POST, **_chosen(request))
    return render(request, "evolution/_estimate.html", _estimate_context(form))


def _render_form(request: HttpRequest, form: ExperimentForm, status: int = 200) -> HttpResponse:
    context = {
        "section": "new",
        "form": form,
        "learning_task": form.learning_task,
        "learning_tasks": [get_learning_task(name) for name in learning_task_names()],
        "preset": form.preset,
        "original": form.original,
        "address": _address(form),
        **_estimate_context(form),
    }
    return render(request, "evolution/new_experiment.html", context, status=status)


def _estimate_context(form: ExperimentForm) -> dict[str, Any]:
    """Return the estimate of what the form holds now, None where something does not fit."""
    if form.is_bound:
        values = {
            "task_parameters": form.task_parameters if form.is_valid() else None,
            "evolution_parameters": form.evolution_parameters,
            "n_runs": form.cleaned_data.get("n_runs"),
        }
    elif form.original is not None:
        try:
            values = {
                "task_parameters": form.original.get_task_parameters(),
                "evolution_parameters": form.original.get_evolution_parameters(),
                "n_runs": form.original.n_runs,
            }
        except ParameterError:
            return {"estimate_s": None}
    else:
        values = {
            "task_parameters": form.preset.task_parameters,
            "evolution_parameters": EvolutionParameters.from_mapping(form.preset.evolution),
            "n_runs": form.preset.n_runs,
        }
    if any(value is None for value in values.values()):
        return {"estimate_s": None}
    return {"estimate_s": experiments.estimate_duration(form.learning_task, **values)}


def _address(form: ExperimentForm) -> str:
    """Return the query of the address that leads to this form."""
    if form.original is not None:
        return urlencode({"from": form.original.pk})
    return urlencode({"task": form.learning_task.name, "preset": form.preset.name})


def _chosen(request: HttpRequest) -> dict[str, Any]:
    """Return the learning task and preset that the address names, or those of an original."""
    if "from" in request.GET:
        return _chosen_original(request.GET["from"], request.user)
    name = request.GET.get("task") or learning_task_names()[0]
    learning_task = _learning_task(name)
    preset_name = request.GET.get("preset") or _default_preset(learning_task)
    try:
        return {"learning_task": learning_task, "preset": learning_task.presets[preset_name]}
    except KeyError:
        names = ", ".join(learning_task.presets)
        raise Http404(
            f"The learning task {learning_task.name} has no preset {preset_name!r}. "
            f"Choose one of: {names}."
        ) from None


def _chosen_original(text: str, user: Person) -> dict[str, Any]:
    """Return an experiment to copy, with its learning task and preset."""
    if not re.fullmatch("[0-9]{1,18}", text):
        raise Http404(f"There is no experiment {text[:40]}.")
    original = experiment_or_404(int(text), user)
    learning_task = _learning_task(original.learning_task_name)
    # Its preset may have gone, or it was made without one.
    known = original.preset if original.preset in learning_task.presets else None
    return {
        "learning_task": learning_task,
        "preset": learning_task.presets[known or _default_preset(learning_task)],
        "original": original,
    }


def _learning_task(name: str) -> LearningTask:
    try:
        return get_learning_task(name)
    except UnknownLearningTask as error:
        raise Http404(str(error)) from None


def _default_preset(learning_task: LearningTask) -> str:
    return "demo" if "demo" in learning_task.presets else next(iter(learning_task.presets))
