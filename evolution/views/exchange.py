"""Experiments as files: taking one away, bringing one in, and making one again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evolution.differences import differences
from evolution.enums import Action
from evolution.errors import StateConflict
from evolution.experiment_export import export_experiment, file_name
from evolution.experiment_file import BrokenExperimentFile, Limits, layout
from evolution.services import audit, experiments
from evolution.services.imports import import_experiment
from evolution.views import tables
from evolution.views.control import conflict
from evolution.views.guards import for_members, open_to_link_holders
from evolution.views.lookup import experiment_or_404
from evolution.views.streaming import streamed_file
from evolution.views.tables import Column, Table

if TYPE_CHECKING:
    from evolution.access import Person
    from evolution.models import Experiment

#: Larger files are imported by the command.
PAGE_LIMITS = Limits(file_bytes=128 * 2**20, unpacked_bytes=2**30)


class ImportForm(forms.Form):
    """An experiment file to be imported."""

    file = forms.FileField(
        label="Experiment file",
        help_text=f"A file that ends with {layout.SUFFIX}, of at most "
        f"{PAGE_LIMITS.file_bytes // 2**20} MiB. Larger ones: <code>manage.py experiment import"
        "</code>.",
        widget=forms.FileInput(attrs={"accept": ".zip"}),
    )


@open_to_link_holders
@never_cache
@require_safe
def export(request: HttpRequest, pk: int) -> HttpResponse:
    """Send an experiment with its whole history as a file."""
    return export_response(request, experiment_or_404(pk, request.user))


def export_response(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """Return the file of an experiment, and write down who took it."""
    audit.record(Action.EXPORTED, by=request.user, experiment=experiment, detail="experiment file")
    pieces = export_experiment(experiment, written_by=experiments.provenance())
    return streamed_file(
        request, pieces, content_type="application/zip", name=file_name(experiment)
    )


@for_members
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def bring_in(request: HttpRequest) -> HttpResponse:
    """Import the experiment of a file."""
    sent = (request.POST, request.FILES) if request.method == "POST" else ()
    form = ImportForm(*sent, label_suffix="")
    if form.is_valid():
        try:
            experiment, is_new = import_experiment(
                form.cleaned_data["file"].file, owner=request.user, limits=PAGE_LIMITS
            )
        except BrokenExperimentFile as error:
            form.add_error("file", f"Nothing was imported. {error}")
        else:
            text = "The experiment was imported." if is_new else "It was imported before."
            messages.success(request, text)
            return redirect(experiment)
    status = 422 if request.method == "POST" else 200
    context = {"section": "experiments", "form": form}
    return render(request, "evolution/import_experiment.html", context, status=status)


@for_members
@require_POST
def reproduce(request: HttpRequest, pk: int) -> HttpResponse:
    """Launch an experiment once more, to see whether the same comes out."""
    experiment = experiment_or_404(pk, request.user)
    try:
        reproduction = experiments.reproduce_experiment(experiment, by=request.user)
    except StateConflict as error:
        return conflict(request, str(error), experiment.get_absolute_url())
    return redirect("evolution:experiment-difference", reproduction.pk)


@open_to_link_holders
@never_cache
@require_safe
def difference(request: HttpRequest, pk: int) -> HttpResponse:
    """Compare a reproduction with its original, generation by generation, as far as both are."""
    experiment = reproduction_or_404(pk, request.user)
    found = differences(experiment)
    if tables.is_wanted(request):
        columns = _columns(experiment.learning_task.fitness_label)
        return tables.answer(
            request, f"difference-{pk}", {"runs": lambda: Table(columns, found.runs)}
        )
    context = {
        "section": "experiments",
        "experiment": experiment,
        "original": experiment.original,
        "difference": found,
    }
    return render(request, "evolution/difference.html", context)


def reproduction_or_404(pk: int, user: Person) -> Experiment:
    """Return a reproduction whose original somebody may see as well, or answer that it is none."""
    experiment = experiment_or_404(pk, user)
    if experiment.original is None:
        raise Http404(f"Experiment {pk} is no reproduction, or its original was deleted.")
    experiment_or_404(experiment.original.pk, user)
    return experiment


def _columns(fitness_label: str) -> list[Column]:
    return [
        Column("run", "number"),
        Column("seed", "seed"),
        Column("verdict", "verdict"),
        Column("generations compared", "n_compared"),
        Column("last generation of the original", "n_generations"),
        Column("first difference", "first"),
        Column("what differs", lambda run: "; ".join(run.what)),
        Column("generations that differ", "n_different"),
        Column("largest difference of fitness", "largest", tables.unit(fitness_label)),
    ]
