"""Which experiments a list shows, in which order, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db.models import Count, F, Max, OuterRef, Q, QuerySet, Subquery, Sum

from evolution import selectors
from evolution.enums import ExperimentState
from evolution.models import Experiment, Generation, Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evolution.models.experiment import ExperimentQuerySet

#: How long what never changes is kept in memory, in s.
_STEPS_KEPT_S = 3600
#: Orders that people can choose, with the name that they see.
ORDERS = {
    "": "newest first",
    "oldest": "oldest first",
    "name": "name",
    "fitness": "best fitness",
    "activity": "latest progress",
}


class Filters(TypedDict, total=False):
    """What people look for; what is missing or empty does not restrict the list."""

    q: str
    state: str
    task: str
    owner: str
    show: str
    sort: str


def experiments_for_list(filters: Filters, visible: ExperimentQuerySet) -> QuerySet[Experiment]:
    """Return the visible experiments that fit, in order, with what a list shows, in one statement.

    Each has ``best_run_id`` with its ``best_fitness``, ``best_rule_id`` and ``best_generation``
    (how far it has come), and for its progress ``n_runs_finished`` and ``n_generations_of_others``
    (sum over the other runs).
    """
    best = Run.objects.filter(experiment=OuterRef("pk"), champion_fitness__isnull=False).order_by(
        *selectors.BEST_FIRST
    )
    is_finished = Q(runs__state=ExperimentState.FINISHED)
    found = visible.select_related("owner").annotate(
        best_run_id=Subquery(best.values("pk")[:1]),
        best_fitness=Subquery(best.values("champion_fitness")[:1]),
        best_rule_id=Subquery(best.values("champion__rule")[:1]),
        best_generation=Subquery(best.values("n_generations_done")[:1]),
        n_runs_finished=Count("runs", filter=is_finished),
        n_generations_of_others=Sum("runs__n_generations_done", filter=~is_finished, default=0),
    )
    if filters.get("show") != "all":
        found = found.filter(archived_at__isnull=filters.get("show") != "archived")
    for name, field in (
        ("state", "state"),
        ("task", "learning_task_name"),
        ("owner", "owner__username"),
    ):
        if filters.get(name):
            found = found.filter(**{field: filters[name]})
    if text := filters.get("q", "").strip():
        found = found.filter(_matches(text))
    return _ordered(found, filters.get("sort", ""))


def progress(experiment: Experiment) -> float:
    """Return the share of a listed experiment that is done, from 0 to 1."""
    n_wanted = experiment.evolution_parameters["n_generations"]
    n_others = experiment.n_runs - experiment.n_runs_finished
    others = experiment.n_generations_of_others / max(1, n_others)
    finished = [(True, n_wanted)] * experiment.n_runs_finished
    return selectors.progress(n_wanted, [*finished, *[(False, others)] * n_others])


def _matches(text: str) -> Q:
    """Return the condition that a name holds a text, or that it is a tag or a number."""
    condition = Q(name__icontains=text)
    word = text.removeprefix("#")
    if word and not word.isspace():
        condition |= Q(tags__contains=f" {word.casefold()} ")
    if word.isascii() and word.isdecimal() and len(word) < 18:
        condition |= Q(pk=int(word))
    return condition


def _ordered(found: QuerySet[Experiment], order: str) -> QuerySet[Experiment]:
    newest = ("-created_at", "-pk")
    if order == "oldest":
        return found.order_by("created_at", "pk")
    if order == "name":
        return found.order_by("name", *newest)
    if order == "fitness":
        return found.order_by(F("best_fitness").desc(nulls_last=True), *newest)
    if order == "activity":
        found = found.annotate(active_at=Max("runs__last_progress_at"))
        return found.order_by(F("active_at").desc(nulls_last=True), *newest)
    return found.order_by(*newest)


def champion_steps(best: Mapping[int, float]) -> dict[int, list[tuple[int, float]]]:
    """Return, by run, generation and fitness of each champion fitter than the one before.

    They are read once for each champion: a fitter one is another one's fitness.

    Parameters
    ----------
    best : mapping of int to float
        Fitness of the champion by run.
    """
    keys = {run_id: f"champion-steps-{run_id}-{fitness!r}" for run_id, fitness in best.items()}
    known = cache.get_many(keys.values())
    steps = {run_id: known[key] for run_id, key in keys.items() if key in known}
    new = {run_id: [] for run_id in keys if run_id not in steps}
    if new:
        rows = Generation.objects.filter(run__in=new, is_improvement=True).order_by("run", "index")
        for run_id, index, fitness in rows.values_list("run", "index", "champion_fitness"):
            new[run_id].append((index, fitness))
        # A generation may have come since the fitness was read: then they are of another champion.
        done = {run: found for run, found in new.items() if found and found[-1][1] == best[run]}
        cache.set_many({keys[run]: found for run, found in done.items()}, _STEPS_KEPT_S)
    return {**steps, **new}


def owner_names(visible: ExperimentQuerySet) -> list[str]:
    """Return the names of all who have visible experiments."""
    owners = get_user_model().objects.filter(experiments__in=visible)
    return list(owners.order_by("username").values_list("username", flat=True).distinct())
