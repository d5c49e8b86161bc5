"""Rules: searching, checking, keeping and exporting them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django import forms
from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.response import Response

from evolution import access, catalogue, discoveries, fronts
from evolution.api.base import ApiView, created
from evolution.api.problems import Invalid, InvalidQuery, at
from evolution.api.queries import page_of, parameters, read_page, read_query
from evolution.api.rule_shapes import (
    CheckedRuleSerializer,
    ContextSerializer,
    ExportSerializer,
    FrontPointSerializer,
    KeepSerializer,
    NoteSerializer,
    NoteTextSerializer,
    OccurrenceSerializer,
    RuleClassSerializer,
    RuleEvaluationSerializer,
    RuleInputSerializer,
    RuleSerializer,
)
from evolution.api.shapes import RuleTextSerializer
from evolution.enums import Scope
from evolution.exports import FORMS, Inexpressible
from evolution.filters import RuleFilter
from evolution.front_plot import LAYERS
from evolution.models import Rule
from evolution.models.rule import signature_text
from evolution.rule_shape import shape_panels
from evolution.services import notes
from evolution.views.lookup import rule_or_404
from evolution.views.microscope import fitting_tasks
from evolution.views.rules import criteria
from nest_build.rules import PlasticityRule, RuleSyntaxError
from simulations.learning_tasks import get_learning_task, learning_task_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rest_framework.request import Request

    from evolution.catalogue import Context
    from evolution.models.experiment import ExperimentQuerySet
    from simulations.learning_tasks import LearningTask

#: Who looks for something further down filters: there is no index by which to jump there.
MAX_OFFSET = 5000
N_RELATIVES = 50
N_CONTEXTS = 50

_RULE_EXAMPLE = OpenApiExample(
    "The error-driven rule",
    {"learning_task": "error-driven", "expressions": ["(v - u)*s"]},
    request_only=True,
)


class TaskForm(forms.Form):
    """Of which learning task."""

    task = forms.ChoiceField(label="Learning task.")

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.fields["task"].choices = [(name, name) for name in learning_task_names()]


class ContextForm(TaskForm):
    """In the trials of which experiments."""

    context = forms.IntegerField(min_value=1, max_value=2**63 - 1, help_text="See list_contexts.")


class RuleList(ApiView):
    """The catalogue: classes of equivalent rules."""

    write_scope = Scope.SIMULATE

    @extend_schema(
        operation_id="list_rules",
        summary="Search the rules that the laboratory has found",
        description="Each class of equivalent rules is listed with its simplest form. Fitness "
        "values of different contexts are not comparable: name a context to filter or sort by "
        "fitness.",
        parameters=parameters(TaskForm, RuleFilter),
        responses=page_of(RuleClassSerializer),
    )
    def get(self, request: Request) -> Response:
        visible = access.visible_experiments(request.user)
        task, contexts = _task_and_contexts(request, visible)
        filters = RuleFilter(request.GET, contexts=contexts)
        page, values = read_page(request, TaskForm(request.GET), filters)
        if page.offset > MAX_OFFSET:
            detail = f"At most {MAX_OFFSET}: filter to find what is further down."
            raise InvalidQuery([{"parameter": "offset", "detail": detail}])
        typed = _typed(values["q"], task)
        wanted = criteria(values, task, filters.contexts.get(values["context"]), typed)
        classes, is_more = catalogue.rule_classes(
            wanted, offset=page.offset, limit=page.limit, visible=visible
        )
        names = catalogue.names_of_rules(
            signature_text(task.signature), [item.rule.fingerprint for item in classes]
        )
        found = RuleClassSerializer(classes, many=True, context={"names": names}).data
        return Response(page.answer(found, count=None, is_more=is_more))

    @extend_schema(
        operation_id="keep_rule",
        summary="Put a rule into the catalogue, with a name and notes if you like",
        request=KeepSerializer,
        responses={201: RuleSerializer},
        examples=[_RULE_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        values = self.read(KeepSerializer)
        rule = parsed_rule(values)

        def act() -> Any:
            record = notes.add_to_catalogue(rule)
            if values.get("name"):
                notes.keep_note(
                    record, author=request.user, name=values["name"], text=values["text"]
                )
            return created(_described(record, request), reverse("api:rule", args=[record.pk]))

        return self.once(act)


class RuleCheck(ApiView):
    """What a rule is, before it is kept."""

    write_scope = Scope.SIMULATE

    @extend_schema(
        operation_id="check_rule",
        summary="Check a rule: canonical form, complexity, and whether it is known",
        request=RuleInputSerializer,
        responses=CheckedRuleSerializer,
        examples=[_RULE_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        values = self.read(RuleInputSerializer)
        task, rule = values["learning_task"], parsed_rule(values)
        known = Rule.objects.shared().filter(
            signature=signature_text(task.signature), fingerprint=rule.fingerprint
        )
        body = {
            "expressions": list(rule.texts),
            "latex": list(rule.latex),
            "mathml": list(rule.mathml),
            "complexity": rule.complexity,
            "known": known.order_by("complexity", "pk")[:5],
            "literature": [
                baseline.name
                for baseline, same in task.canonical_baselines
                if same.fingerprint == rule.fingerprint
            ],
        }
        return Response(CheckedRuleSerializer(body).data)


class RuleDetail(ApiView):
    """One rule."""

    @extend_schema(operation_id="get_rule", summary="Show a rule", responses=RuleSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(_described(rule_or_404(pk, request.user), request))


class RuleShape(ApiView):
    """What a rule looks like."""

    @extend_schema(
        operation_id="get_rule_shape",
        summary="Read the data of the plots of a rule itself, as a function of its inputs",
        responses={200: {"type": "array", "items": {"type": "object"}}},
    )
    def get(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        tasks = fitting_tasks(rule)
        return Response(shape_panels(rule, tasks[0] if tasks else None))


class RuleForms(ApiView):
    """Equivalent forms."""

    @extend_schema(
        operation_id="list_forms",
        summary="List the equivalent forms of a rule, the simplest first",
        parameters=parameters(),
        responses=page_of(RuleTextSerializer),
    )
    def get(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        page, _ = read_page(request)
        return Response(page.of(catalogue.forms(rule), RuleTextSerializer))


class RuleFamily(ApiView):
    """Rules that are the same up to a positive factor."""

    @extend_schema(
        operation_id="list_family",
        summary="List rules that differ from this one by a positive factor",
        parameters=parameters(),
        responses=page_of(RuleTextSerializer),
    )
    def get(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        page, _ = read_page(request)
        return Response(page.of(catalogue.relatives(rule, N_RELATIVES), RuleTextSerializer))


class RuleOccurrences(ApiView):
    """Where a rule was found."""

    @extend_schema(
        operation_id="list_occurrences",
        summary="List the runs that have found a rule, or an equivalent one, the latest first",
        parameters=parameters(),
        responses=page_of(OccurrenceSerializer),
    )
    def get(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        page, _ = read_page(request)
        found, is_more = discoveries.first_in_runs(
            rule,
            offset=page.offset,
            limit=page.limit,
            visible=access.visible_experiments(request.user),
        )
        shown = OccurrenceSerializer(found, many=True).data
        return Response(page.answer(shown, count=None, is_more=is_more))


class RuleEvaluations(ApiView):
    """How fit a rule is."""

    @extend_schema(
        operation_id="list_evaluations",
        summary="List the trials of a rule in each context, the latest first",
        parameters=parameters(),
        responses=page_of(RuleEvaluationSerializer),
    )
    def get(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        visible = access.visible_experiments(request.user)
        page, _ = read_page(request)

        def with_experiments(items: list[Any]) -> list[Any]:
            users = catalogue.experiments_in({item.context_id for item in items}, visible)
            for item in items:
                item.experiments = [number for number, _ in users.get(item.context_id, [])]
            return items

        found = catalogue.evaluations_of(rule, visible, N_CONTEXTS)
        return Response(page.of(found, RuleEvaluationSerializer, with_experiments))


class RuleNote(ApiView):
    """Your name and notes of a rule."""

    write_scope = Scope.SIMULATE

    @extend_schema(
        operation_id="note_rule",
        summary="Give a rule a name and notes, in place of what you wrote before",
        request=NoteTextSerializer,
        responses=NoteSerializer,
    )
    def put(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        values = self.read(NoteTextSerializer)
        note = notes.keep_note(rule, author=request.user, **values)
        body = {"author": request.user.get_username(), "name": note.name, "text": note.text}
        return Response(body)


class RuleExports(ApiView):
    """A rule as the text of programs."""

    @extend_schema(
        operation_id="export_rule",
        summary="Show a rule as "
        + ", ".join(form.title for form in FORMS.values())
        + "; what cannot be said in a form is left out",
        responses=ExportSerializer(many=True),
    )
    def get(self, request: Request, pk: int) -> Response:
        rule = rule_or_404(pk, request.user)
        found = []
        for name, form in FORMS.items():
            # Some rules cannot be said in some forms.
            with suppress(Inexpressible):
                found.append({"name": name, "text": form.write(rule)})
        return Response(found)


class ContextList(ApiView):
    """Contexts in which fitness values are comparable."""

    @extend_schema(
        operation_id="list_contexts",
        summary="List the contexts in which fitness values are comparable",
        parameters=parameters(TaskForm),
        responses=page_of(ContextSerializer),
    )
    def get(self, request: Request) -> Response:
        _, contexts = _task_and_contexts(request, access.visible_experiments(request.user))
        page, _ = read_page(request, TaskForm(request.GET))
        return Response(page.of(contexts, ContextSerializer))


class Front(ApiView):
    """Pareto fronts."""

    @extend_schema(
        operation_id="get_front",
        summary="Show the Pareto fronts of complexity and fitness in one context",
        parameters=parameters(ContextForm, paged=False),
        responses=FrontPointSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        values = read_query(request, ContextForm(request.GET))
        _, contexts = _task_and_contexts(request, access.visible_experiments(request.user))
        context = context_or_404(values["context"], contexts)
        fittest = fronts.fittest_by_complexity(context.pk, context.n_trials)
        points = fronts.pareto_fronts(fittest, len(LAYERS))
        rules = Rule.objects.in_bulk({point.rule_id for point in points})
        found = [{**vars(point), "rule": rules[point.rule_id]} for point in points]
        return Response(FrontPointSerializer(found, many=True).data)


def context_or_404(number: int, contexts: Iterable[Context]) -> Context:
    """Return one of some contexts, or answer that it is not among them."""
    found = next((item for item in contexts if item.pk == number), None)
    if found is None:
        raise Http404("There are no such trials.")
    return found


def parsed_rule(values: dict[str, Any]) -> PlasticityRule:
    """Return the canonical rule that a body holds."""
    task, texts = values["learning_task"], values["expressions"]
    if len(texts) != len(task.signature.branches):
        names = ", ".join(task.signature.branches)
        detail = f"The learning task {task.name} needs one expression for each of: {names}."
        raise Invalid([at(detail, "expressions")])
    try:
        rule = PlasticityRule.parse(task.signature, texts).canonical()
        _ = rule.fingerprint
    except RuleSyntaxError as error:
        raise Invalid([at(_words(error), "expressions")]) from None
    return rule


def _words(error: RuleSyntaxError) -> str:
    return error.message if error.column is None else f"{error.message} (column {error.column})"


def _task_and_contexts(
    request: Request, visible: ExperimentQuerySet
) -> tuple[LearningTask, list[Context]]:
    form = TaskForm(request.GET)
    if not form.is_valid():
        raise InvalidQuery({"parameter": "task", "detail": text} for text in form.errors["task"])
    task = get_learning_task(form.cleaned_data["task"])
    return task, catalogue.contexts(task, visible)


def _typed(text: str, task: LearningTask) -> PlasticityRule | None:
    if not text.strip():
        return None
    try:
        return catalogue.parse_rule(text, task)
    except RuleSyntaxError as error:
        raise InvalidQuery([{"parameter": "q", "detail": _words(error)}]) from None


def _described(rule: Rule, request: Request) -> dict[str, Any]:
    visible = access.visible_experiments(request.user)
    found = catalogue.rule_with_notes(rule.pk, access.visible_rules(request.user))
    assert found is not None
    rule, rule.shown_notes = found
    counts = discoveries.found_counts(
        [rule.fingerprint],
        n_forms=discoveries.N_FORMS_OF_ONE,
        visible=visible,
        rule_id=rule.pk,
    )
    rule.n_runs, rule.n_experiments = counts.get((rule.signature, rule.fingerprint), (0, 0))
    return RuleSerializer(rule).data
