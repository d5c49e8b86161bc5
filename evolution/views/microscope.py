"""What the page of a rule shows of its shape and its behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from evolution.enums import Outcome, ProbeKind, ProbeState
from evolution.models import Probe
from evolution.rule_shape import shape_panels
from nest_build.rules import PlasticityRule, RuleSyntaxError
from simulations.learning_tasks import (
    UnknownLearningTask,
    get_learning_task,
    learning_task_names,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evolution.models import Rule
    from simulations.learning_tasks import LearningTask

#: How many simulations a page shows, the latest first.
N_PROBES = 6


def microscope(rule: Rule, own_tasks: Sequence[LearningTask]) -> dict[str, Any]:
    """Return the part of the context of a rule's page that looks into the rule."""
    fitting = fitting_tasks(rule)
    probes = list(
        Probe.objects.filter(rule=rule, kind=ProbeKind.BEHAVIOUR)
        .defer("panels")
        .order_by("-pk")[:N_PROBES]
    )
    panels = shape_panels(rule, own_tasks[0] if own_tasks else None)
    own_names = {task.name for task in own_tasks}
    return {
        "shape_panels": panels,
        "choices": [
            {
                "value": f"{task.name}/{preset.name}",
                "label": f"{task.title}, {preset.label.lower()}"
                + ("" if task.name in own_names else " (other task)"),
            }
            for task in fitting
            for preset in task.presets.values()
        ],
        "probes": [probe_context(probe) for probe in probes],
    }


def fitting_tasks(rule: Rule) -> list[LearningTask]:
    """Return the learning tasks whose inputs and branches the rule can be read with."""
    found = []
    for name in learning_task_names():
        task = get_learning_task(name)
        if set(task.signature.branches) != set(rule.branch_names):
            continue
        try:
            PlasticityRule.parse(task.signature, rule.expressions)
        except RuleSyntaxError:
            continue
        found.append(task)
    return found


def probe_context(probe: Probe) -> dict[str, Any]:
    """Return what the part of a page shows of a simulation."""
    end = probe.finished_at or timezone.now()
    elapsed_s = (end - probe.started_at).total_seconds() if probe.started_at else None
    share = probe.n_steps_done / probe.n_steps
    if probe.n_steps == 1 and elapsed_s is not None:
        # A single trial tells nothing before its end: time is compared with the estimate.
        share = min(0.95, elapsed_s / max(probe.estimated_s, 0.1))
    result = probe.result
    return {
        "probe": probe,
        **_names(probe),
        "is_waiting": probe.state == ProbeState.WAITING,
        "elapsed_s": elapsed_s,
        "percent": round(100 * share),
        "failure": Outcome(probe.reason).label if probe.reason else "",
        "value": result.get("value"),
        "panels": result.get("panels", []),
    }


def _names(probe: Probe) -> dict[str, str]:
    try:
        task = get_learning_task(probe.learning_task_name)
    except UnknownLearningTask:
        return {"task_title": probe.learning_task_name, "fitness_label": ""}
    return {"task_title": task.title, "fitness_label": task.fitness_label}
