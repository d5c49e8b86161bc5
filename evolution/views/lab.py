"""The rule lab: type a rule, see it checked, simulate it, keep it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import retarget

from evolution.errors import ProbeRefused
from evolution.models import Rule
from evolution.models.rule import signature_text
from evolution.services import notes, probes
from evolution.views.control import conflict
from evolution.views.guards import for_members
from evolution.views.lookup import rule_or_404
from evolution.views.microscope import probe_context
from nest_build.rules import MAX_LENGTH, PlasticityRule, RuleSyntaxError, parse
from simulations.learning_tasks import (
    LearningTask,
    UnknownLearningTask,
    get_learning_task,
    learning_task_names,
)

N_KNOWN = 5


class NoteForm(forms.Form):
    """Name and notes of a rule."""

    name = forms.CharField(max_length=100, label="Name")
    text = forms.CharField(
        max_length=5000, required=False, label="Notes", widget=forms.Textarea({"rows": 3})
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, label_suffix="", **options)


@for_members
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """Show the lab, simulate what is typed, or keep it."""
    task = _task(request.GET.get("task"))
    data = request.POST if request.method == "POST" else request.GET
    checked = _checked(task, data)
    note = NoteForm(data if data.get("action") == "keep" else None, initial={"name": ""})
    status = 200
    if request.method == "POST":
        if checked["rule"] is None or (note.is_bound and not note.is_valid()):
            if request.htmx:
                return retarget(_check_part(request, task, checked), "#check")
            status = 422
        else:
            record = notes.add_to_catalogue(checked["rule"])
            if note.is_bound:
                notes.keep_note(record, author=request.user, **note.cleaned_data)
                return redirect(record)
            return _simulate(request, record, task)
    context = {
        "section": "lab",
        "learning_task": task,
        "learning_tasks": [get_learning_task(name) for name in learning_task_names()],
        "note_form": note,
        "presets": task.presets.values(),
        "is_checked": any(field["text"] for field in checked["fields"]) or status != 200,
        **checked,
    }
    return render(request, "evolution/lab.html", context, status=status)


@for_members
@never_cache
@require_safe
def check(request: HttpRequest) -> HttpResponse:
    """Say what is typed: mistakes with their column, or what the rule is (for htmx)."""
    task = _task(request.GET.get("task"))
    checked = _checked(task, request.GET)
    # A page that has just been opened asks as well: nothing is wrong where nothing is typed.
    checked["is_checked"] = any(field["text"] for field in checked["fields"])
    return _check_part(request, task, checked)


def _check_part(request: HttpRequest, task: LearningTask, checked: dict[str, Any]) -> HttpResponse:
    context = {"learning_task": task, "is_checked": True, **checked}
    return render(request, "evolution/_lab_check.html", context)


@for_members
@require_POST
def note(request: HttpRequest, pk: int) -> HttpResponse:
    """Change the name and the notes that the user gave a rule."""
    rule = rule_or_404(pk, request.user)
    form = NoteForm(request.POST)
    if not form.is_valid():
        text = " ".join(
            f"{form.fields[name].label}: {problem}"
            for name, problems in form.errors.items()
            for problem in problems
        )
        return render(
            request, "evolution/note_refused.html", {"rule": rule, "text": text}, status=422
        )
    notes.keep_note(rule, author=request.user, **form.cleaned_data)
    return redirect(rule)


def _simulate(request: HttpRequest, record: Rule, task: LearningTask) -> HttpResponse:
    """Ask for a simulation; it is watched in the lab, without scripts on the page of the rule."""
    preset = request.POST.get("preset", "")
    if preset not in task.presets:
        raise Http404(f"The learning task {task.name} has no preset {preset!r}.")
    try:
        probe = probes.request_probe(record, task, preset=preset, owner=request.user)
    except ProbeRefused as error:
        if request.htmx:
            return render(request, "evolution/_lab_simulation.html", {"refusal": str(error)})
        return conflict(request, str(error), record.get_absolute_url())
    if request.htmx:
        return render(request, "evolution/_lab_simulation.html", {"item": probe_context(probe)})
    return redirect(f"{record.get_absolute_url()}#simulation-{probe.pk}")


def _task(name: str | None) -> LearningTask:
    try:
        return get_learning_task(name or learning_task_names()[0])
    except UnknownLearningTask as error:
        raise Http404(str(error)) from None


def _checked(task: LearningTask, data: Any) -> dict[str, Any]:
    """Return the fields with their messages and, where all are right, what the rule is."""
    fields = []
    for branch in task.signature.branches:
        text = data.get(f"expression-{branch}", "")
        problem = None
        try:
            parse(text, task.signature.input_names)
        except RuleSyntaxError as error:
            problem = error
        fields.append({"name": branch, "text": text, "problem": problem, "max": MAX_LENGTH})
    if any(field["problem"] for field in fields):
        return {"fields": fields, "rule": None}
    try:
        texts = [field["text"] for field in fields]
        rule = PlasticityRule.parse(task.signature, texts).canonical()
        fingerprint = rule.fingerprint
    except RuleSyntaxError as error:
        fields[0]["problem"] = error
        return {"fields": fields, "rule": None}
    signature = signature_text(task.signature)
    known = Rule.objects.shared().filter(signature=signature, fingerprint=fingerprint)
    return {
        "fields": fields,
        "rule": rule,
        "branches": [
            {"name": name, "mathml": mathml, "text": text}
            for name, mathml, text in zip(
                task.signature.branches, rule.mathml, rule.texts, strict=True
            )
        ],
        "known": list(known.order_by("complexity", "pk")[:N_KNOWN]),
        "literature": [
            baseline
            for baseline, same in task.canonical_baselines
            if same.fingerprint == fingerprint
        ],
    }
