"""The paper's figures: what they show, computed here beside what was published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from evolution.enums import ProbeKind, ProbeState
from evolution.errors import ProbeRefused
from evolution.figure_form import FigureForm
from evolution.models import Probe
from evolution.panel_plot import panel_json
from evolution.paper_figures import all_panels, command_for, evolution_panels
from evolution.services import figures
from evolution.views.control import conflict
from evolution.views.guards import for_members, open_to_the_public
from evolution.views.microscope import probe_context
from evolution.views.presentation import figure_response
from simulations.figures import FIGURE_NAMES, UnknownFigure, get_figure

if TYPE_CHECKING:
    from evolution.figure_choice import FigureChoice
    from simulations.figures.base import PaperFigure


@open_to_the_public
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """List the figures."""
    shown = [get_figure(name) for name in FIGURE_NAMES]
    return render(request, "evolution/figures.html", {"section": "figures", "figures": shown})


@open_to_the_public
@never_cache
@require_safe
def page(request: HttpRequest, name: str) -> HttpResponse:
    """Show all panels of a figure, and what is missing of it."""
    figure = figure_or_404(name)
    form = FigureForm(request.GET, figure=figure, reader=request.user)
    choice = form.choice()
    answers = figures.answers(choice)
    panels = panels_of(choice, answers)
    context = {
        "section": "figures",
        "figure": figure,
        "form": form,
        "choice": choice,
        "query": request.GET.urlencode(),
        "rows": [[panels[key] for key in row] for row in figure.layout],
        "suggestions": [" ; ".join(rule.expressions) for rule in figure.rules],
        "evolve_command": command_for(figure),
        **progress_of(choice, answers),
    }
    return render(request, "evolution/figure.html", context, status=200 if form.is_valid() else 400)


@open_to_the_public
@never_cache
@require_safe
def progress(request: HttpRequest, name: str) -> HttpResponse:
    """Return the part of the page that says how far its simulations are (for htmx)."""
    figure = figure_or_404(name)
    choice = FigureForm(request.GET, figure=figure, reader=request.user).choice()
    context = {
        "figure": figure,
        "query": request.GET.urlencode(),
        **progress_of(choice, figures.answers(choice)),
    }
    response = render(request, "evolution/_figure_progress.html", context)
    if not context["is_open"]:
        # The panels are on a new page.
        response["HX-Refresh"] = "true"
    return response


@for_members
@require_POST
def simulate(request: HttpRequest, name: str) -> HttpResponse:
    """Ask workers for the simulations that a figure lacks."""
    figure = figure_or_404(name)
    form = FigureForm(request.GET, figure=figure, reader=request.user)
    address = reverse("evolution:figure", args=[name])
    if query := request.GET.urlencode():
        address = f"{address}?{query}"
    if form.is_valid():
        try:
            figures.request_missing(form.choice(), owner=request.user)
        except ProbeRefused as error:
            return conflict(request, str(error), address)
    return redirect(address)


@open_to_the_public
@never_cache
@require_safe
def panel(request: HttpRequest, name: str, key: str) -> HttpResponse:
    """Return one panel for BokehJS."""
    figure = figure_or_404(name)
    form = FigureForm(request.GET, figure=figure, reader=request.user)
    if not form.is_valid():
        return JsonResponse({"error": "The address asks for what is not there."}, status=400)
    shown = panel_or_404(form.choice(), key)
    return figure_response(panel_json(shown, name=f"{figure.name}-{key}"))


def panel_or_404(choice: FigureChoice, key: str) -> dict[str, Any]:
    """Return one panel with its data, or answer that it is not there, or not yet."""
    found = _panel(choice, key)
    if found is None or found.get("missing"):
        raise Http404("There is no such panel.")
    return found


def panels_of(choice: FigureChoice, answers: dict[str, Probe | None]) -> dict[str, dict[str, Any]]:
    """Return all panels by key; those of a simulation are without data, which are large."""
    return all_panels(choice, _simulated(answers), _held_out(answers))


def _panel(choice: FigureChoice, key: str) -> dict[str, Any] | None:
    figure = choice.figure
    if key in figure.simulated:
        # Panels are large: the database takes out the one.
        place = list(figure.simulated).index(key)
        digest = figures.questions(choice)[ProbeKind.FIGURE].digest
        return (
            Probe.objects.filter(digest=digest).values_list(f"panels__{place}", flat=True).first()
        )
    if key in {figure.runs_key, figure.validation_key, figure.path_key}:
        panels = evolution_panels(choice, _held_out(figures.answers(choice)))
    else:
        panels = figure.panels_of_rule(choice.rule)
    return next((own for own in panels if own["key"] == key), None)


def _simulated(answers: dict[str, Probe | None]) -> list[dict[str, Any]] | None:
    """Return the panels of the simulation without their data, None before it is done."""
    probe = answers[ProbeKind.FIGURE]
    return probe.result["panels"] if _is_done(probe) else None


def _held_out(answers: dict[str, Probe | None]) -> list[dict[str, Any]] | None:
    probe = answers[ProbeKind.HELD_OUT]
    return probe.result["rows"] if _is_done(probe) else None


def _is_done(probe: Probe | None) -> bool:
    return probe is not None and probe.state == ProbeState.FINISHED


def progress_of(choice: FigureChoice, answers: dict[str, Probe | None]) -> dict[str, Any]:
    """Return what is said of the simulations of a figure."""
    asked = figures.questions(choice)
    labels = {ProbeKind.FIGURE: "Trial that is shown", ProbeKind.HELD_OUT: "Held-out trials"}
    known = [
        {**probe_context(probe), "label": labels[kind]}
        for kind, probe in answers.items()
        if probe is not None
    ]
    lacking = [
        kind for kind, probe in answers.items() if probe is None or probe.state == ProbeState.FAILED
    ]
    return {
        "simulations": known,
        "is_open": any(item["probe"].is_open for item in known),
        "is_lacking": bool(lacking),
        "estimated_s": sum(asked[kind].estimated_s for kind in lacking),
    }


def figure_or_404(name: str) -> PaperFigure:
    """Return a figure of the paper, or answer that there is none of that name."""
    try:
        return get_figure(name)
    except UnknownFigure as error:
        raise Http404(str(error)) from None
