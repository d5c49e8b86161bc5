"""Validation and robustness: asking for them, following them, and what pages show of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    JsonResponse,
)
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from evolution import access, catalogue, validated
from evolution.enums import ValidationKind, ValidationState
from evolution.errors import ValidationRefused
from evolution.estimates import METHODS
from evolution.held_out_plots import Column, tornado_figure, trials_figure
from evolution.models import Validation
from evolution.models.rule import signature_text
from evolution.robustness import robustness
from evolution.services import validations
from evolution.views.control import conflict
from evolution.views.guards import for_members, open_to_link_holders, open_to_the_public
from evolution.views.lookup import experiment_or_404, rule_or_404
from evolution.views.presentation import error_label, figure_response, fitness_axes
from evolution.views.robustness_words import summary
from simulations.learning_tasks import Aggregate, get_learning_task, learning_task_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evolution.access import Person
    from evolution.models import Evaluation, Rule
    from evolution.models.experiment import ExperimentQuerySet
    from evolution.models.validation import ValidationQuerySet
    from evolution.validated import HeldOut
    from simulations.learning_tasks import LearningTask


# --- asking -------------------------------------------------------------------------------------


@for_members
@require_POST
def validate_rule(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the validation, or the robustness, of a rule."""
    rule = rule_or_404(pk, request.user)
    name, _, preset_name = request.POST.get("in", "").partition("/")
    task = {task.name: task for task in tasks_of(rule)}.get(name)
    kind = request.POST.get("kind", "")
    n_trials = _number_of_trials(request)
    if task is None or preset_name not in task.presets or kind not in ValidationKind.values:
        return HttpResponseBadRequest("There is no such validation of this rule.")
    if n_trials is None:
        return HttpResponseBadRequest(_TRIALS_MESSAGE)
    preset = task.presets[preset_name]
    common = {
        "preset": preset,
        "parameters": preset.task_parameters,
        "n_trials": n_trials,
        "owner": request.user,
    }
    back = f"{rule.get_absolute_url()}#validation"
    try:
        if kind == ValidationKind.ROBUSTNESS:
            validation = validations.request_robustness(rule, task, **common)
        else:
            validation = validations.request_validation([rule], task, **common)
    except ValidationRefused as error:
        return conflict(request, str(error), back)
    return _answer(request, validation, back)


@for_members
@require_POST
def validate_experiment(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the validation of the champions of an experiment or of a run, or of its front."""
    experiment = experiment_or_404(pk, request.user)
    which = request.POST.get("which", "")
    n_trials = _number_of_trials(request)
    if n_trials is None:
        return HttpResponseBadRequest(_TRIALS_MESSAGE)
    if which in {"champions", "front"}:
        rules, words = validated.rules_in_words(experiment, is_front=which == "front")
    elif which.isascii() and which.isdigit() and len(which) < 10:
        rules, words = validated.rules_in_words(experiment, run=int(which))
    else:
        return HttpResponseBadRequest("There are no such rules in this experiment.")
    back = _back(request, f"{experiment.get_absolute_url()}#validation")
    try:
        validation = validations.request_for_experiment(
            experiment, rules, subject=words, n_trials=n_trials, owner=request.user
        )
    except ValidationRefused as error:
        return conflict(request, str(error), back)
    return _answer(request, validation, back)


@for_members
@require_POST
def validate_front(request: HttpRequest) -> HttpResponse:
    """Ask for the validation of the rules on the Pareto front of a context."""
    name = request.POST.get("task", "")
    if name not in learning_task_names():
        raise Http404("There is no such learning task.")
    task = get_learning_task(name)
    n_trials = _number_of_trials(request)
    if n_trials is None:
        return HttpResponseBadRequest(_TRIALS_MESSAGE)
    visible = access.visible_experiments(request.user)
    contexts = {str(item.pk): item for item in catalogue.contexts(task, visible)}
    chosen = contexts.get(request.POST.get("context", ""))
    if chosen is None:
        raise Http404("There are no such trials.")
    back = _back(request, "/rules/")
    try:
        validation = validations.request_for_front(
            chosen, task, visible=visible, n_trials=n_trials, owner=request.user
        )
    except ValidationRefused as error:
        return conflict(request, str(error), back)
    return _answer(request, validation, back)


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Let workers leave what is missing of a validation."""
    validation = validation_to_cancel(pk, request.user)
    validations.cancel(validation)
    messages.success(request, "The validation was cancelled. Values that are known are kept.")
    return redirect(_back(request, "/rules/"))


_TRIALS_MESSAGE = f"The number of trials must be a number from 1 to {validations.MAX_TRIALS}."


def _number_of_trials(request: HttpRequest) -> int | None:
    text = request.POST.get("trials", "").strip()
    is_number = text.isascii() and text.isdigit() and len(text) < 6
    number = int(text) if is_number else 0
    return number if 1 <= number <= validations.MAX_TRIALS else None


def _back(request: HttpRequest, default: str) -> str:
    """Return where a form wants to go back to, if that is a page of this site."""
    asked = request.POST.get("next", "")
    is_here = asked.startswith("/") and url_has_allowed_host_and_scheme(asked, allowed_hosts=None)
    return asked if is_here else default


def _answer(request: HttpRequest, validation: Validation, back: str) -> HttpResponse:
    if validation.state == ValidationState.FINISHED:
        messages.info(request, "All of these trials are known already.")
    else:
        messages.success(request, "Workers simulate the held-out trials.")
    return redirect(back)


# --- parts of pages -----------------------------------------------------------------------------


def validation_context(
    rule: Rule,
    learning_tasks: Sequence[LearningTask],
    training: Iterable[Evaluation],
    visible: ExperimentQuerySet,
) -> dict[str, Any]:
    """Return what the page of a rule shows of its validations."""
    written_at = timezone.now().timestamp()
    training = list(training)
    # Held-out trials of the paper's parameters are offered first: its preset is the last one.
    choices = [
        (task, preset) for task in learning_tasks for preset in reversed(task.presets.values())
    ]
    return {
        "written_at": written_at,
        "held_out": [
            _table(item) for item in validated.of_rule(rule, learning_tasks, training, visible)
        ],
        "validation_choices": [
            {
                "value": f"{task.name}/{preset.name}",
                "label": f"{task.title}, {preset.label.lower()}",
            }
            for task, preset in choices
        ],
        "n_trials": choices[0][1].task_parameters.n_trials if choices else 1,
        "max_trials": validations.MAX_TRIALS,
        "n_robustness_trials": validations.N_ROBUSTNESS_TRIALS,
    }


@open_to_the_public
@never_cache
@require_safe
def rule_part(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the validation of a rule: a part of its page for htmx, a page of its own without."""
    rule = rule_or_404(pk, request.user)
    visible = access.visible_experiments(request.user)
    training = catalogue.evaluations_of(rule, visible)
    context = {
        "section": "rules",
        "rule": rule,
        **validation_context(rule, tasks_of(rule), training, visible),
    }
    return render(request, "evolution/_validation.html", context)


@open_to_the_public
@never_cache
@require_safe
def rule_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what workers do for a rule, and how robust it is; see the script of the page."""
    rule = rule_or_404(pk, request.user)
    about = Validation.objects.about(access.visible_experiments(request.user)).filter(rule=rule)
    unfinished = _unfinished(about, request.user)
    context = {"rule": rule, "unfinished": unfinished, "is_open": _is_open(unfinished)}
    if not context["is_open"] and (
        request.GET.get("was") == "open" or _has_ended(about, request.GET.get("since", ""))
    ):
        # What it waited for is there: the whole part is shown again.
        response = rule_part(request, pk)
        response.headers["HX-Retarget"] = "#validation"
        return response
    asked = validated.latest_robustness(rule)
    if asked is not None:
        task = get_learning_task(asked.context.learning_task_name)
        found = robustness(rule, asked, task)
        context |= {
            "asked": asked,
            "robustness": found,
            "robustness_summary": summary(found),
            "robustness_label": task.fitness_label,
            "robustness_title": task.title,
            "robustness_preset": validated.preset_label(task, asked.context),
        }
    return render(request, "evolution/_robustness.html", context)


@open_to_link_holders
@never_cache
@require_safe
def experiment_part(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the validation of the champions of an experiment, as a part of its page."""
    experiment = experiment_or_404(pk, request.user)
    unfinished = _unfinished(Validation.objects.filter(experiment=experiment), request.user)
    task = experiment.learning_task
    context = {
        "experiment": experiment,
        "champions": validated.champion_rows(experiment, access.visible_experiments(request.user)),
        "unfinished": unfinished,
        "is_open": _is_open(unfinished),
        "n_trials": experiment.task_parameters["n_trials"],
        "max_trials": validations.MAX_TRIALS,
        "fitness_label": task.fitness_label,
        "method": METHODS[task.aggregate],
        "has_front": experiment.context_id is not None,
    }
    return render(request, "evolution/_experiment_validation.html", context)


def _table(item: HeldOut) -> dict[str, Any]:
    own, task = item.own, item.own.learning_task
    return {
        "item": item,
        "own": own,
        "context": own.context,
        "task": task,
        "preset": validated.preset_label(task, own.context),
        "method": METHODS[task.aggregate],
        "is_mean": task.aggregate is Aggregate.MEAN,
        "is_error": bool(error_label(task.fitness_label)),
        "has_tests": any(difference for _, _, difference in item.baselines),
    }


def _unfinished(validations: ValidationQuerySet, user: Person) -> list[dict[str, Any]]:
    found = validated.unfinished_validations(validations)
    return [{**_progress(item), "may_cancel": access.may_cancel(user, item)} for item in found]


def _progress(validation: Validation) -> dict[str, Any]:
    n_wanted = validation.n_wanted or 1
    return {
        "validation": validation,
        "n_wanted": n_wanted,
        "n_done": validation.n_done or 0,
        "percent": round(100 * (validation.n_done or 0) / n_wanted),
        "elapsed_s": (timezone.now() - validation.created_at).total_seconds(),
    }


def _has_ended(validations: ValidationQuerySet, since: str) -> bool:
    """Return whether one has ended after the page was written that says when this was, in s."""
    try:
        written_at = datetime.fromtimestamp(float(since), tz=UTC)
    except (ValueError, OverflowError, OSError):
        return False
    return validations.filter(finished_at__gte=written_at).exists()


def _is_open(unfinished: Iterable[dict[str, Any]]) -> bool:
    return any(item["validation"].state == ValidationState.OPEN for item in unfinished)


def validation_to_cancel(pk: int, user: Person) -> Validation:
    """Return a validation that somebody may cancel; answer 404 or 403 otherwise."""
    try:
        validation = access.visible_validations(user).get(pk=pk)
    except Validation.DoesNotExist:
        raise Http404(f"There is no validation {pk}.") from None
    if not access.may_cancel(user, validation):
        raise PermissionDenied(
            "Only who has asked for a validation, and operators, may cancel it. "
            "Nothing was changed."
        )
    return validation


def tasks_of(rule: Rule) -> list[LearningTask]:
    """Return the learning tasks that a rule fits."""
    tasks = [get_learning_task(name) for name in learning_task_names()]
    return [task for task in tasks if signature_text(task.signature) == rule.signature]


def held_out_of(rule: Rule, user: Person) -> list[HeldOut]:
    """Return what somebody may know of a rule in held-out trials."""
    visible = access.visible_experiments(user)
    training = catalogue.evaluations_of(rule, visible)
    return validated.of_rule(rule, tasks_of(rule), training, visible)


# --- figures ------------------------------------------------------------------------------------


@open_to_the_public
@never_cache
@require_safe
def trials(request: HttpRequest, pk: int, context_id: int) -> HttpResponse:
    """Return the plot of a rule's held-out trials for BokehJS."""
    rule = rule_or_404(pk, request.user)
    known = held_out_of(rule, request.user)
    found = {item.own.context.pk: item for item in known}.get(context_id)
    if found is None:
        raise Http404("There are no such trials.")
    task = found.own.learning_task
    labels = fitness_axes(task)
    scale = request.GET.get("scale", "linear")
    if scale not in labels:
        return JsonResponse({"error": f"There is no scale {scale!r} here."}, status=400)
    return figure_response(trials_figure(_columns(found), y_label=labels[scale], scale=scale))


def _columns(found: HeldOut) -> list[Column]:
    own, task = found.own, found.own.learning_task
    columns = [Column("held out", own.evaluation.trials, own.estimate, "run-0")]
    if own.training:
        trained = validated.estimate(own.training, task.aggregate)
        columns.insert(0, Column("training", own.training, trained, "run-2"))
    return columns + [
        Column(name, other.evaluation.trials, other.estimate, "run-1")
        for name, other, _ in found.baselines
        if other.evaluation.rule_id != own.evaluation.rule_id
    ]


@open_to_the_public
@never_cache
@require_safe
def tornado(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the plot of a rule's robustness for BokehJS."""
    rule = rule_or_404(pk, request.user)
    asked = validated.latest_robustness(rule)
    if asked is None:
        raise Http404("Nobody has asked how robust this rule is.")
    task = get_learning_task(asked.context.learning_task_name)
    found = robustness(rule, asked, task)
    return figure_response(tornado_figure(found, x_label=task.fitness_label))
