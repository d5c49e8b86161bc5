"""What people do to an experiment: each address takes one POST and calls one service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from evolution.errors import InvalidExperiment, StateConflict
from evolution.forms import DeletionForm, ExtensionForm, LabelsForm, labels_digest
from evolution.services import control, experiments
from evolution.views.lookup import experiment_to_change
from simulations.parameters import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.forms import Form

    from evolution.models import Experiment


def conflict(request: HttpRequest, message: str, back_url: str) -> HttpResponse:
    """Answer that the present state of things does not permit it."""
    context = {"message": message, "back_url": back_url}
    return render(request, "409.html", context, status=409)


@require_POST
def launch(request: HttpRequest, pk: int) -> HttpResponse:
    """Launch an experiment that was created and left there."""
    return _act(request, pk, experiments.launch_experiment, "The experiment was launched.")


@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Let an experiment rest."""
    return _act(
        request,
        pk,
        control.pause_experiment,
        "The experiment is paused. Simulations that were going on end, and are kept.",
    )


@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Let an experiment that rests, or has failed, go on."""
    return _act(request, pk, control.resume_experiment, "The experiment goes on.")


@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    """End an experiment that is going on."""
    return _act(
        request,
        pk,
        control.stop_experiment,
        "The experiment was stopped. What it has found is kept.",
    )


@require_POST
def archive(request: HttpRequest, pk: int) -> HttpResponse:
    """Put an experiment away."""
    return _act(
        request,
        pk,
        control.archive_experiment,
        "The experiment is in the archive now: the list shows it only on demand.",
    )


@require_POST
def unarchive(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an experiment out of the archive."""
    return _act(request, pk, control.unarchive_experiment, "The experiment is in the list again.")


@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Have failed evaluations repeated."""
    return _act(
        request,
        pk,
        control.retry_failures,
        "Evaluations that failed are repeated. The history stays as it is; the results serve the "
        "generations to come.",
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def extend(request: HttpRequest, pk: int) -> HttpResponse:
    """Give an experiment more generations or runs; without a valid form, show it."""
    experiment = experiment_to_change(pk, request.user)
    if request.method != "POST":
        return _show_extension(request, experiment, ExtensionForm.for_experiment(experiment))
    form = ExtensionForm(request.POST)
    if not form.is_valid():
        return _show_extension(request, experiment, form, status=422)
    values = form.cleaned_data
    present = (experiment.evolution_parameters["n_generations"], experiment.n_runs)
    if (values["seen_generations"], values["seen_runs"]) != present:
        message = (
            f"Somebody else has extended the experiment “{experiment.name}” meanwhile: it has "
            f"{present[0]} generations and {present[1]} runs now. Nothing was changed."
        )
        return conflict(request, message, experiment.get_absolute_url())
    try:
        control.extend_experiment(
            experiment,
            n_generations=values["n_generations"],
            n_runs=values["n_runs"],
            by=request.user,
        )
    except StateConflict as error:
        return conflict(request, str(error), experiment.get_absolute_url())
    except ParameterError as error:
        for name, texts in error.messages.items():
            form.add_error(name if name in form.fields else None, texts)
    except InvalidExperiment as error:
        form.add_error(_field_of_extension(values, present), str(error))
    else:
        messages.success(request, "The experiment was extended.")
        return redirect(experiment)
    return _show_extension(request, experiment, form, status=422)


def _field_of_extension(values: dict[str, int], present: tuple[int, int]) -> str | None:
    """Return the field that a message about an extension belongs to, None for both."""
    if values["n_generations"] < present[0]:
        return "n_generations"
    return "n_runs" if values["n_runs"] < present[1] else None


def _show_extension(
    request: HttpRequest, experiment: Experiment, form: Form, status: int = 200
) -> HttpResponse:
    context = {"section": "experiments", "experiment": experiment, "form": form}
    return render(request, "evolution/extend_experiment.html", context, status=status)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether an experiment may be deleted; delete it where its name or number was typed."""
    experiment = experiment_to_change(pk, request.user)
    if "delete" not in control.possible_actions(experiment):
        error = control.conflict(experiment, "deleted")
        return conflict(request, str(error), experiment.get_absolute_url())
    form = DeletionForm(request.POST if request.method == "POST" else None, experiment=experiment)
    if not form.is_valid():
        context = {
            "section": "experiments",
            "experiment": experiment,
            "form": form,
            "n_generations": sum(run.n_generations_done for run in experiment.runs.all()),
        }
        status = 422 if form.is_bound else 200
        return render(request, "evolution/delete_experiment.html", context, status=status)
    try:
        control.delete_experiment(experiment, by=request.user)
    except StateConflict as error:
        return conflict(request, str(error), reverse("evolution:experiments"))
    messages.success(request, f"The experiment “{experiment.name}” was deleted.")
    return redirect("evolution:experiments")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def labels(request: HttpRequest, pk: int) -> HttpResponse:
    """Change tags and notes; without a valid form, show it."""
    experiment = experiment_to_change(pk, request.user)
    if request.method != "POST":
        return _show_labels(request, experiment, LabelsForm.for_experiment(experiment))
    form = LabelsForm(request.POST)
    if not form.is_valid():
        return _show_labels(request, experiment, form, status=422)
    values = form.cleaned_data
    if values["seen"] != labels_digest(experiment):
        # What was typed is kept; saving again replaces what the other person wrote.
        data = {**request.POST.dict(), "seen": labels_digest(experiment)}
        return _show_labels(request, experiment, LabelsForm(data), status=409, is_overtaken=True)
    experiments.label_experiment(
        experiment, tags=values["tags"], notes=values["notes"], by=request.user
    )
    messages.success(request, "Tags and notes were saved.")
    return redirect(experiment)


def _show_labels(
    request: HttpRequest,
    experiment: Experiment,
    form: Form,
    status: int = 200,
    *,
    is_overtaken: bool = False,
) -> HttpResponse:
    context = {
        "section": "experiments",
        "experiment": experiment,
        "form": form,
        "is_overtaken": is_overtaken,
    }
    return render(request, "evolution/edit_labels.html", context, status=status)


def _act(
    request: HttpRequest, pk: int, service: Callable[..., object], message: str
) -> HttpResponse:
    """Call a service, and go back to the experiment or say why it was not possible."""
    experiment = experiment_to_change(pk, request.user)
    try:
        service(experiment, by=request.user)
    except StateConflict as error:
        return conflict(request, str(error), experiment.get_absolute_url())
    messages.success(request, message)
    return redirect(experiment)
