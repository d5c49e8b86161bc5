"""Experiments and runs beside each other. The whole view stands in the address."""

from __future__ import annotations

import json
import math
import re
import statistics
from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evolution import access, comparison, comparison_fronts, comparison_plots, inference, listing
from evolution.errors import ComparisonError
from evolution.figure_template import figure_item
from evolution.filters import ComparisonFilter
from evolution.models import Rule
from evolution.plots import N_RUN_COLORS
from evolution.validated import ValidatedRules
from evolution.views import comparison_words as words
from evolution.views import tables
from evolution.views.comparison_tables import comparison_tables
from evolution.views.guards import open_to_the_public
from evolution.views.presentation import figure_response, fitness_axes, rule_address_template
from evolution.views.written import written
from simulations.learning_tasks import UnknownLearningTask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bokeh.models import Plot

    from evolution.comparison import Group
    from evolution.models import Experiment
    from evolution.models.experiment import ExperimentQuerySet
    from simulations.learning_tasks import LearningTask

#: Experiments that are offered to be added, and pairs of groups that are tested one by one.
N_OFFERED = 20
MAX_PAIRED_GROUPS = 6
_CLOCK_LABELS = {
    "generations": "generation",
    "evaluations": "evaluations",
    "seconds": "time without pauses (s)",
}


class _View:
    """What an address asks for.

    Attributes
    ----------
    learning_task : LearningTask or None
        None where the groups have different ones, or there are no groups.
    """

    def __init__(self, query: QueryDict, visible: ExperimentQuerySet) -> None:
        self.form = ComparisonFilter(query)
        if not self.form.is_valid():
            raise ComparisonError(_first_error(self.form))
        values = self.form.cleaned_data
        self.groups = comparison.groups_of(*choices(query), visible)
        self.learning_task = common_task(self.groups)
        self.labels = fitness_axes(self.learning_task) if self.learning_task else {}
        self.scale = values["scale"] or ("log" if "log" in self.labels else "linear")
        if self.learning_task and self.scale not in self.labels:
            raise ComparisonError(f"There is no scale “{self.scale}” for this learning task.")
        self.view = values["view"] or "band"
        self.clock = values["clock"] or "generations"
        self.target = values["target"]
        self.q = values["q"]

    @property
    def y_label(self) -> str:
        return self.labels[self.scale]

    @property
    def is_comparable(self) -> bool:
        """Whether there is any fitness to compare."""
        return self.learning_task is not None


@open_to_the_public
@never_cache
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Compare the chosen experiments and runs; say what cannot be compared, and why."""
    context: dict[str, Any] = {"section": "compare"}
    status = 200
    visible = access.visible_experiments(request.user)
    try:
        view = _View(request.GET, visible)
    except ComparisonError as error:
        status = 404 if error.is_missing else 400
        context |= {"problem": str(error), "groups": [], "q": ""}
        view = None
    else:
        context |= {
            "groups": view.groups,
            "q": view.q,
            "query": request.GET.urlencode(),
            "is_comparable": view.is_comparable,
            "notices": words.notices(view.groups),
            "parameters": comparison.differing_parameters(view.groups),
            "chosen": _chosen(view.groups),
            "kept_view": _kept(request.GET, without={"experiment", "run", "q"}),
        }
        if view.is_comparable and view.groups:
            context |= _results(view, request.GET, visible)
    if tables.is_wanted(request) and view is not None:
        return tables.answer(request, "compare", comparison_tables(context))
    context["offered"] = _offered(view, visible)
    return render(request, "evolution/compare.html", context, status=status)


@open_to_the_public
@never_cache
@require_safe
def figure(request: HttpRequest, name: str) -> HttpResponse:
    """Return one of the figures of a comparison for BokehJS."""
    if name not in _FIGURES:
        raise Http404(f"There is no figure {name!r}.")
    try:
        view = _View(request.GET, access.visible_experiments(request.user))
    except ComparisonError as error:
        return JsonResponse({"error": str(error)}, status=404 if error.is_missing else 400)
    if not view.is_comparable:
        return JsonResponse({"error": words.DIFFERENT_TASKS}, status=400)
    return figure_response(_FIGURES[name](view))


# --- figures ------------------------------------------------------------------------------------


def _written(draw: Callable[..., Plot], groups: Sequence[Group], *data: Any, **options: Any) -> str:
    """Return a figure as JSON, which is written once for the same data.

    To draw it takes several times as long as to find out what it shows.
    """
    facts = (draw.__name__, [group.facts for group in groups], data, options)
    return written(
        "comparison", facts, lambda: json.dumps(figure_item(draw(groups, *data, **options)))
    )


def _fitness(view: _View) -> str:
    draw = {"band": comparison_plots.bands_figure, "curves": comparison_plots.curves_figure}
    return _written(draw[view.view], view.groups, y_label=view.y_label, scale=view.scale)


def _finals(view: _View) -> str:
    return _written(
        comparison_plots.finals_figure, view.groups, y_label=view.y_label, scale=view.scale
    )


def _times(view: _View) -> str:
    comparison.add_targets(view.groups, view.learning_task, view.target)
    times = comparison.times_to_target(view.groups, view.clock)
    return _written(
        comparison_plots.times_figure, view.groups, times, x_label=_CLOCK_LABELS[view.clock]
    )


def _fronts(view: _View) -> str:
    fronts = comparison_fronts.fronts(view.groups)
    rules = Rule.objects.in_bulk({point.rule_id for front in fronts for point in front})
    return _written(
        comparison_plots.fronts_figure,
        view.groups,
        fronts,
        {pk: str(rule) for pk, rule in sorted(rules.items())},
        y_label=view.y_label,
        scale=view.scale,
        address=rule_address_template(),
    )


def _parameters(view: _View) -> str:
    return _written(
        comparison_plots.parameters_figure,
        view.groups,
        comparison.differing_parameters(view.groups),
        y_label=view.y_label,
        scale=view.scale,
    )


_FIGURES = {
    "fitness": _fitness,
    "finals": _finals,
    "times": _times,
    "fronts": _fronts,
    "parameters": _parameters,
}


# --- what the page says -------------------------------------------------------------------------


def _results(view: _View, query: QueryDict, visible: ExperimentQuerySet) -> dict[str, Any]:
    groups = view.groups
    comparison.add_targets(groups, view.learning_task, view.target)
    times = comparison.times_to_target(groups, view.clock)
    champions = comparison.champions(groups)
    best = [
        champions[group.best_run.pk]
        for group in groups
        if group.best_run and group.best_run.pk in champions
    ]
    validations = ValidatedRules(
        [champion.rule for champion in best if champion.rule], view.learning_task, visible
    )
    finals = [group.final_fitness for group in groups]
    keys = [group.key for group in groups]
    difference = inference.compare_values(finals)
    known = [(key, own) for key, own in zip(keys, times, strict=True) if own and own.n_runs]
    time_difference = inference.compare_times([own for _, own in known])
    return {
        "learning_task": view.learning_task,
        "fitness_label": view.learning_task.fitness_label,
        "rows": [
            _row(group, own, champions, validations)
            for group, own in zip(groups, times, strict=True)
        ],
        "view_links": _links(query, "view", ComparisonFilter.VIEWS, view.view),
        "scale_links": _links(query, "scale", ComparisonFilter.SCALES, view.scale)
        if len(view.labels) > 1
        else [],
        "clock_links": _links(query, "clock", ComparisonFilter.CLOCKS, view.clock),
        "clock": view.clock,
        "view": view.view,
        "form": view.form,
        "kept": _kept(query, without={"target"}),
        "target_words": words.target(groups),
        "fitness_summary": words.fitness_summary(groups),
        "finals_words": words.values(difference, keys),
        "difference": difference,
        "pairs": [
            {"first": keys[pair.first], "second": keys[pair.second], "pair": pair}
            for pair in compared_pairs(groups)
        ],
        "times_words": words.times(time_difference, [key for key, _ in known]),
        "times_summary": words.times_summary(known, view.clock),
        "time_difference": time_difference,
    }


def compared_pairs(groups: Sequence[Group]) -> list[inference.Pair]:
    """Return the final fitness of groups two by two, where these are few, and more than two."""
    if not 2 < len(groups) <= MAX_PAIRED_GROUPS:
        return []
    return inference.compare_pairs([group.final_fitness for group in groups])


def _row(
    group: Group, times: Any, champions: dict[int, Any], validations: ValidatedRules
) -> dict[str, Any]:
    best = group.best_run
    champion = champions.get(best.pk) if best else None
    finals = group.final_fitness
    median = statistics.median(finals) if finals else None
    return {
        "group": group,
        "color": group.place % N_RUN_COLORS,
        "champion": champion,
        "validated": validations.of(champion.rule, like=group.experiment.task_parameters)
        if champion and champion.rule
        else None,
        "best_run": best,
        "n_same": comparison.n_with_the_same_rule(group, champions),
        "median": median if median is not None and math.isfinite(median) else None,
        "target": group.target,
        "times": times,
    }


def _chosen(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return the groups with all runs of their experiments, and which of them are in."""
    return [
        {
            "group": group,
            "runs": [
                {"number": number, "is_chosen": bool(group.other_runs) and is_in}
                for number, is_in in sorted(
                    [(run.number, True) for run in group.runs]
                    + [(number, False) for number in group.other_runs]
                )
            ],
        }
        for group in groups
    ]


def _kept(query: QueryDict, *, without: set[str]) -> list[tuple[str, str]]:
    """Return what a form that changes a part of the address keeps of it."""
    return [
        (name, value) for name, values in query.lists() if name not in without for value in values
    ]


def _links(
    query: QueryDict, name: str, choices: Sequence[tuple[str, str]], chosen: str
) -> list[dict[str, Any]]:
    links = []
    for value, label in choices:
        changed = query.copy()
        changed[name] = value
        links.append({"label": label, "query": changed.urlencode(), "is_chosen": value == chosen})
    return links


def _offered(view: _View | None, visible: ExperimentQuerySet) -> list[Experiment]:
    """Return experiments that may be added: what was looked for, else the latest ones."""
    chosen = [group.experiment.pk for group in view.groups] if view else []
    filters: listing.Filters = {"q": view.q if view else ""}
    if view and view.learning_task:
        filters["task"] = view.learning_task.name
    found = listing.experiments_for_list(filters, visible).exclude(pk__in=chosen)
    return list(found[:N_OFFERED])


# --- what the address says ----------------------------------------------------------------------


def choices(query: QueryDict) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the experiments and the single runs that an address names.

    Raises
    ------
    ComparisonError
        If something there is no number.
    """
    experiments, runs = [], []
    for text in query.getlist("experiment"):
        if not re.fullmatch("[0-9]{1,18}", text):
            raise ComparisonError(f"“{text[:40]}” is not the number of an experiment.")
        experiments.append(int(text))
    for text in query.getlist("run"):
        found = re.fullmatch("([0-9]{1,18})-([0-9]{1,9})", text)
        if not found:
            raise ComparisonError(
                f"“{text[:40]}” does not name a run: write 12-3 for run 3 of experiment 12."
            )
        runs.append((int(found[1]), int(found[2])))
    return list(dict.fromkeys(experiments)), list(dict.fromkeys(runs))


def common_task(groups: Sequence[Group]) -> LearningTask | None:
    """Return the learning task of all groups, None where there are several, or no groups."""
    try:
        tasks = [group.experiment.learning_task for group in groups]
    except UnknownLearningTask as error:
        raise ComparisonError(str(error)) from None
    return tasks[0] if len({task.name for task in tasks}) == 1 else None


def _first_error(form: ComparisonFilter) -> str:
    name, errors = next(iter(form.errors.items()))
    label = form.fields[name].label or name.capitalize()
    return f"{label}: {errors[0]}"
