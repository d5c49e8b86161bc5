"""The list of experiments, and what is done to several of them at once."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.cache import cache
from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from evolution import access, listing
from evolution.enums import ExperimentState
from evolution.forms import BulkForm, ListForm
from evolution.models import Rule
from evolution.plots import sparkline
from evolution.services import several
from evolution.views import tables
from evolution.views.guards import check_may_change_all, open_to_the_public
from evolution.views.lookup import experiments_among
from evolution.views.tables import Column, Table
from simulations.learning_tasks import UnknownLearningTask, get_learning_task, learning_task_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from evolution.models import Experiment
    from evolution.models.experiment import ExperimentQuerySet

PER_PAGE = 25
#: How long a table that renews itself is good for all who ask for the same, in s.
RENEWED_S = 2
_ROWS_AT_ONCE = 500
_COLUMNS = (
    Column("number", "experiment.pk"),
    Column("experiment", "experiment.name"),
    Column("learning task", "task_title"),
    Column("preset", "experiment.preset"),
    Column("owner", lambda row: row["experiment"].owner and row["experiment"].owner.username),
    Column("tags", "experiment.tags"),
    Column("state", "experiment.state"),
    Column("is archived", lambda row: row["experiment"].archived_at is not None),
    Column("progress", "progress"),
    tables.rule("best_rule", "best rule"),
    # The unit depends on the learning task.
    Column("best fitness", lambda row: row["experiment"].best_fitness),
    Column("fitness is", lambda row: _fitness_label(row["experiment"])),
    Column("runs", "experiment.n_runs"),
    Column("started", "experiment.created_at"),
)
#: What was done, in a word.
_PARTICIPLES = {
    "pause": "paused",
    "resume": "resumed",
    "stop": "stopped",
    "archive": "archived",
    "unarchive": "taken out of the archive",
    "delete": "deleted",
}
#: What cannot be undone is asked for twice; whoever deletes types this word.
_ASKED_TWICE = {"stop", "delete"}
CONFIRMATION = "delete"


@open_to_the_public
@never_cache
@require_safe
def experiment_list(request: HttpRequest) -> HttpResponse:
    """Show experiments; for htmx only the table, which renews itself."""
    tasks = {name: get_learning_task(name).title for name in learning_task_names()}
    visible = access.visible_experiments(request.user)
    form = ListForm(request.GET, tasks=tasks, owners=lambda: listing.owner_names(visible))
    filters = form.filters
    if tables.is_wanted(request):
        found = listing.experiments_for_list(filters, visible)
        return tables.answer(
            request, "e2l", {"experiments": lambda: Table(_COLUMNS, _all_rows(found, tasks))}
        )
    if request.htmx and "renew" in request.GET:
        # Lists that are open everywhere ask every few seconds for the same.
        question = (access.reading_group(request.user), _query(filters), request.GET.get("page"))
        key = f"experiment-list-{sha256(repr(question).encode()).hexdigest()}"
        return HttpResponse(
            cache.get_or_set(key, lambda: _table(request, filters, visible, tasks), RENEWED_S)
        )
    if request.htmx:
        return HttpResponse(_table(request, filters, visible, tasks))
    context = _context(request, filters, visible, tasks)
    has_archived = not context["rows"] and visible.archived().exists()
    return render(
        request,
        "evolution/experiments.html",
        {**context, "form": form, "has_archived": has_archived},
    )


def _table(
    request: HttpRequest,
    filters: listing.Filters,
    visible: ExperimentQuerySet,
    tasks: dict[str, str],
) -> str:
    context = _context(request, filters, visible, tasks)
    return render_to_string("evolution/_experiment_table.html", context, request)


def _context(
    request: HttpRequest,
    filters: listing.Filters,
    visible: ExperimentQuerySet,
    tasks: dict[str, str],
) -> dict[str, Any]:
    found = listing.experiments_for_list(filters, visible)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    best = {item.best_run_id: item.best_fitness for item in page if item.best_run_id}
    steps = listing.champion_steps(best)
    rows = [
        {**row, "sparkline": _sparkline(experiment, steps.get(experiment.best_run_id, []))}
        for row in _rows(page, tasks)
        for experiment in [row["experiment"]]
    ]
    return {
        "section": "experiments",
        "is_filtered": bool(filters),
        "filters": filters,
        "query": _query(filters),
        "page": page,
        "rows": rows,
        "is_any_running": any(
            not ExperimentState(row["experiment"].state).is_final for row in rows
        ),
    }


def _rows(experiments: Iterable[Experiment], tasks: dict[str, str]) -> list[dict[str, Any]]:
    experiments = list(experiments)
    rules = Rule.objects.in_bulk({item.best_rule_id for item in experiments if item.best_rule_id})
    return [
        {
            "experiment": experiment,
            "task_title": _title(experiment, tasks),
            "best_rule": rules.get(experiment.best_rule_id),
            "progress": listing.progress(experiment),
        }
        for experiment in experiments
    ]


def _all_rows(found: QuerySet[Experiment], tasks: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of all pages."""
    for number in Paginator(found, _ROWS_AT_ONCE):
        yield from _rows(number, tasks)


@require_POST
def bulk(request: HttpRequest) -> HttpResponse:
    """Do the same to several experiments; say what could not be done, and why."""
    form = BulkForm(request.POST)
    back_url = reverse("evolution:experiments")
    if not form.is_valid():
        messages.error(request, "This was not understood. Nothing was changed.")
        return redirect(back_url)
    values = form.cleaned_data
    action = values["action"]
    if query := QueryDict(values["query"]).urlencode():
        back_url = f"{back_url}?{query}"
    experiments = experiments_among(values["experiment"], request.user)
    if not experiments:
        messages.warning(request, "No experiment was chosen. Nothing was changed.")
        return redirect(back_url)
    if action == "compare":
        chosen = QueryDict(mutable=True)
        chosen.setlist("experiment", [experiment.pk for experiment in experiments])
        return redirect(f"{reverse('evolution:compare')}?{chosen.urlencode()}")
    check_may_change_all(request.user, experiments)
    if action in _ASKED_TWICE:
        typed = request.POST.get("confirmation")
        is_sure = typed is not None and (action != "delete" or typed.strip() == CONFIRMATION)
        if not is_sure:
            context = {
                "section": "experiments",
                "action": action,
                "experiments": experiments,
                "query": values["query"],
                "back_url": back_url,
                "word": CONFIRMATION if action == "delete" else "",
                "is_mistyped": typed is not None,
            }
            status = 200 if typed is None else 422
            return render(request, "evolution/confirm_bulk.html", context, status=status)
    _do(request, action, experiments)
    return redirect(back_url)


def _do(request: HttpRequest, action: str, experiments: list[Experiment]) -> None:
    outcomes = several.act_on_each(action, experiments, by=request.user)
    done = [outcome.name for outcome in outcomes if not outcome.refusal]
    refused = [outcome.refusal for outcome in outcomes if outcome.refusal]
    participle = _PARTICIPLES[action]
    if len(done) == 1:
        messages.success(request, f"The experiment “{done[0]}” was {participle}.")
    elif done:
        messages.success(request, f"{len(done)} experiments were {participle}.")
    for text in refused:
        messages.warning(request, text)


def _query(filters: listing.Filters) -> str:
    query = QueryDict(mutable=True)
    query.update(filters)
    return query.urlencode()


def _title(experiment: Experiment, tasks: dict[str, str]) -> str:
    """Return the title of the learning task, its name where it is not known any more."""
    name = experiment.learning_task_name
    if name in tasks:
        return tasks[name]
    try:
        return get_learning_task(name).title
    except UnknownLearningTask:
        return name


def _fitness_label(experiment: Experiment) -> str | None:
    try:
        return get_learning_task(experiment.learning_task_name).fitness_label
    except UnknownLearningTask:
        return None


def _sparkline(experiment: Experiment, steps: list[tuple[int, float]]) -> dict[str, Any] | None:
    """Return a small curve of the best run with its first and last fitness."""
    if len(steps) < 2:
        return None
    return {
        "points": sparkline(steps, experiment.best_generation),
        "first": steps[0][1],
        "last": steps[-1][1],
    }
