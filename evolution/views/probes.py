"""Simulations on demand: asking for one, following it, and its plots."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from evolution import access
from evolution.enums import ProbeKind
from evolution.errors import ProbeRefused
from evolution.models import Probe, Rule
from evolution.panel_plot import panel_json
from evolution.rule_shape import shape_panels
from evolution.services import probes
from evolution.views.control import conflict
from evolution.views.guards import for_members, open_to_the_public
from evolution.views.lookup import rule_or_404
from evolution.views.microscope import fitting_tasks, probe_context
from evolution.views.presentation import figure_response

if TYPE_CHECKING:
    from evolution.access import Person
    from evolution.models.probe import ProbeQuerySet
    from simulations.learning_tasks import LearningTask


@for_members
@require_POST
def simulate(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a simulation of a rule, and go to where its answer appears."""
    rule = rule_or_404(pk, request.user)
    name, _, preset = request.POST.get("in", "").partition("/")
    task = {task.name: task for task in fitting_tasks(rule)}.get(name)
    if task is None or preset not in task.presets:
        return HttpResponseBadRequest("There is no such simulation of this rule.")
    try:
        probe = probes.request_probe(rule, task, preset=preset, owner=request.user)
    except ProbeRefused as error:
        return conflict(request, str(error), rule.get_absolute_url())
    return redirect(f"{rule.get_absolute_url()}#simulation-{probe.pk}")


@open_to_the_public
@never_cache
@require_safe
def part(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the part of a page that shows a simulation (for htmx)."""
    return render(
        request, "evolution/_probe.html", {"item": probe_context(probe_or_404(pk, request.user))}
    )


@open_to_the_public
@never_cache
@require_safe
def panel(request: HttpRequest, pk: int, index: int) -> HttpResponse:
    """Return one plot of a simulation for BokehJS."""
    # Panels are large: the database takes out the one.
    found = (
        visible_probes(request.user)
        .filter(pk=pk)
        .values_list(f"panels__{index}", flat=True)
        .first()
    )
    if found is None:
        raise Http404("There is no such plot.")
    return _figure(found)


@open_to_the_public
@never_cache
@require_safe
def shape(request: HttpRequest, pk: int, index: int) -> HttpResponse:
    """Return one plot of a rule itself for BokehJS."""
    rule = rule_or_404(pk, request.user)
    tasks = fitting_tasks(rule)
    found = _shape(rule.signature, tuple(rule.expressions), tasks[0] if tasks else None, index)
    if found is None:
        raise Http404("There is no such plot.")
    return HttpResponse(found, content_type="application/json")


@lru_cache(maxsize=500)
def _shape(
    signature: str, expressions: tuple[str, ...], task: LearningTask | None, index: int
) -> bytes | None:
    """Return the plot as it is sent, which says the same whenever somebody looks at the rule."""
    panels = shape_panels(Rule(signature=signature, expressions=list(expressions)), task)
    return _figure(panels[index]).content if index < len(panels) else None


def _figure(panel: dict[str, Any]) -> HttpResponse:
    return figure_response(panel_json(panel))


def probe_or_404(pk: int, user: Person) -> Probe:
    """Return a simulation with its rule, or answer that there is none that may be seen."""
    try:
        return visible_probes(user).select_related("rule").defer("panels").get(pk=pk)
    except Probe.DoesNotExist:
        raise Http404(f"There is no simulation {pk}.") from None


def visible_probes(user: Person) -> ProbeQuerySet:
    """Return the simulations of single rules that somebody may see."""
    return Probe.objects.filter(rule__in=access.visible_rules(user), kind=ProbeKind.BEHAVIOUR)
