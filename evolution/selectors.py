"""Reads that span several models: lists, histories and progress."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from django.db.models import Case, Q, QuerySet, Value, When
from django.utils import timezone

from evolution.enums import ExperimentState
from evolution.models import Evaluation, Experiment, Generation, Individual, LogEntry, Rule, Run
from evolution.models.experiment import ENGINE_STATE
from evolution.models.rule import signature_text
from evolution.prepared import PreparedQuery, PreparedRecords, number_places

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evolution.serializers import (
        ExperimentMessage,
        GenerationMessage,
        RuleMessage,
        RunMessage,
    )

#: The fittest run first; of equally fit ones that which needed fewer generations, which is the
#: same however fast their workers were.
BEST_FIRST = ("-champion_fitness", "improved_at_generation", "index")

MAX_LOG_ENTRIES = 100


def rule_message(rule: Rule) -> RuleMessage:
    """Return a rule for display."""
    return {
        "id": rule.pk,
        "text": list(rule.expressions),
        "mathml": rule.mathml,
        "complexity": rule.complexity,
    }


def progress(n_wanted: int, n_done: Iterable[tuple[bool, int]]) -> float:
    """Return the share of an experiment that is done, from 0 to 1.

    A run that has finished counts in full: it may have met its target early. What was stopped stays
    where it was.

    Parameters
    ----------
    n_wanted : int
        Generations of each run.
    n_done : iterable of (bool, int)
        Of each run, whether it has finished, and how many generations it has completed.
    """
    shares = [1.0 if is_finished else max(0, n) / n_wanted for is_finished, n in n_done]
    return min(1.0, sum(shares) / len(shares)) if shares else 0.0


def experiment_message(
    experiment: Experiment, runs: Sequence[Run] | None = None
) -> ExperimentMessage:
    """Return where an experiment stands.

    Parameters
    ----------
    experiment : Experiment
    runs : sequence of Run, optional
        All runs in their order; without them experiment and runs are read anew.
    """
    if runs is None:
        experiment.refresh_from_db(
            fields=["state", "started_at", "finished_at", "rested_s", "archived_at",
                    "evolution_parameters"]
        )  # fmt: skip
        runs = runs_of(experiment)
    n_generations = experiment.evolution_parameters["n_generations"]
    elapsed_s = _elapsed_s(experiment, runs)
    return {
        "state": experiment.state,
        "is_archived": experiment.archived_at is not None,
        "n_generations": n_generations,
        "runs": [_run_message(run) for run in runs],
        "elapsed_s": elapsed_s,
        "remaining_s": _remaining_s(experiment, runs, n_generations, elapsed_s),
    }


def runs_of(experiment: Experiment) -> list[Run]:
    """Return the runs of an experiment in their order, without what only the engine reads."""
    (place,) = number_places(1)
    runs = _runs().records({place: experiment.pk})
    for run in runs:
        run.experiment = experiment
    return runs


@cache
def _runs() -> PreparedRecords:
    (experiment,) = number_places(1)
    runs = Run.objects.filter(experiment=experiment)
    return PreparedRecords(runs.order_by("index"), without=ENGINE_STATE)


def _run_message(run: Run) -> RunMessage:
    return {
        "run": run.pk,
        "seed": run.seed,
        "state": run.state,
        "stop_reason": run.stop_reason,
        "generation": last_generation(run),
        "fitness": run.champion_fitness,
        "improved_at": run.improved_at_generation,
    }


def last_generation(run: Run) -> int:
    """Return the index of a run's last completed generation, -1 if there is none."""
    return -1 if run.champion_id is None else run.n_generations_done


def _elapsed_s(experiment: Experiment, runs: Sequence[Run]) -> float | None:
    """Return how long an experiment has been going on without its rests, in s; None: unknown."""
    if experiment.started_at is None or experiment.state == ExperimentState.PUBLISHED:
        return None
    end = experiment.finished_at or timezone.now()
    if experiment.state == ExperimentState.PAUSED:
        end = min((run.paused_at for run in runs if run.paused_at), default=end)
    return max(0.0, (end - experiment.started_at).total_seconds() - experiment.rested_s)


def _remaining_s(
    experiment: Experiment, runs: Sequence[Run], n_generations: int, elapsed_s: float | None
) -> float | None:
    """Return how long an experiment that runs will go on at the pace it has had, in s."""
    done = sum(last_generation(run) + 1 for run in runs)
    if experiment.state != ExperimentState.RUNNING or not done or not elapsed_s:
        return None
    missing = sum(
        n_generations - last_generation(run) for run in runs if run.state == ExperimentState.RUNNING
    )
    return elapsed_s / done * missing


def generation_messages(
    *, experiment_id: int, cursors: Mapping[int, int], limit: int
) -> list[GenerationMessage]:
    """Return the generations that a reader does not have yet, run by run and in order.

    Parameters
    ----------
    experiment_id : int
    cursors : mapping of int to int
        By id of the run, the last generation that the reader has; -1 or no entry for none.
    limit : int
        Largest number of messages; ask again with new cursors for more.
    """
    (place,) = number_places(1)
    run_ids = [run_id for (run_id,) in _run_ids().rows({place: experiment_id})]
    if not run_ids:
        return []
    # The last known generation is read again: its rule tells whether the next one's is new.
    first = [cursors.get(run_id, -1) for run_id in run_ids]
    places = dict(zip(number_places(2 * len(run_ids)), [*run_ids, *first], strict=True))
    rows = _generations(len(run_ids), limit + len(run_ids)).rows(places)
    messages: list[tuple[GenerationMessage, int | None]] = []
    previous: dict[int, int | None] = {}
    for run_id, index, fitness, is_improvement, n_evaluations, n_cached, rule_id in rows:
        if index > cursors.get(run_id, -1) and len(messages) < limit:
            message: GenerationMessage = {
                "run": run_id,
                "generation": index,
                "fitness": fitness,
                "is_improvement": is_improvement,
                "n_evaluations": n_evaluations,
                "n_cached": n_cached,
            }
            messages.append((message, rule_id if rule_id != previous.get(run_id) else None))
        previous[run_id] = rule_id
    rules = Rule.objects.in_bulk({rule_id for _, rule_id in messages if rule_id is not None})
    for message, rule_id in messages:
        if rule_id is not None:
            message["rule"] = rule_message(rules[rule_id])
    return [message for message, _ in messages]


@cache
def _run_ids() -> PreparedQuery:
    (experiment,) = number_places(1)
    runs = Run.objects.filter(experiment=experiment)
    return PreparedQuery(runs.order_by("index").values_list("pk"))


@lru_cache(maxsize=32)
def _generations(n_runs: int, limit: int) -> PreparedQuery:
    """Return the question for the generations of so many runs from one on each."""
    places = number_places(2 * n_runs)
    run_ids, first = places[:n_runs], places[n_runs:]
    wanted = Q()
    for run_id, index in zip(run_ids, first, strict=True):
        wanted |= Q(run_id=run_id, index__gte=index)
    order = Case(*(When(run_id=run_id, then=Value(n)) for n, run_id in enumerate(run_ids)))
    return PreparedQuery(
        Generation.objects.filter(wanted)
        .order_by(order, "index")
        .values_list(
            "run_id",
            "index",
            "champion_fitness",
            "is_improvement",
            "n_evaluations",
            "n_cached",
            "champion__rule_id",
        )[:limit]
    )


def improvements(experiment: Experiment) -> QuerySet[Generation]:
    """Return the generations whose champion was fitter than all before, newest first.

    ``champion.rule`` is loaded with them.
    """
    return (
        Generation.objects.filter(run__experiment=experiment, is_improvement=True)
        .select_related("champion__rule")
        .only("run_id", "index", "champion_fitness", "created_at", "champion__rule")
        .order_by("-created_at", "-pk")
    )


def improvement_steps(experiment: Experiment) -> list[tuple[int, int, float, str]]:
    """Return run, generation, fitness and rule of each of :func:`improvements`, by run and in
    order.

    Rows, not objects: the plot of a hundred runs asks for thousands.
    """
    found = improvements(experiment).order_by("run", "index")
    rows = found.values_list("run_id", "index", "champion_fitness", "champion__rule__expressions")
    return [(*row, " ; ".join(expressions)) for *row, expressions in rows]


def log_of(experiment: Experiment) -> list[LogEntry]:
    """Return what people did to an experiment lately, newest first."""
    entries = experiment.log.of_experiments().select_related("user")
    return list(entries.order_by("-pk")[:MAX_LOG_ENTRIES])


def baseline_evaluations(experiment: Experiment, keys: Iterable[str]) -> dict[str, Evaluation]:
    """Return what is known of rules in the trials of an experiment, by the rules' keys."""
    evaluations = Evaluation.objects.filter(
        context_id=experiment.context_id,
        # The index of rules begins with it.
        rule__signature=signature_text(experiment.learning_task.signature),
        rule__key__in=list(keys),
    )
    return {
        evaluation.rule.key: evaluation
        for evaluation in evaluations.select_related("rule").defer("detail")
    }


def champion(experiment: Experiment, runs: Iterable[Run] | None = None) -> Individual | None:
    """Return the fittest individual of all runs with its rule, None before there is one.

    Parameters
    ----------
    experiment : Experiment
    runs : iterable of Run, optional
        Its runs, where they have been read already.
    """
    run = best_run(experiment.runs.without_engine_state() if runs is None else runs)
    if run is None:
        return None
    return Individual.objects.select_related("rule").get(pk=run.champion_id)


def best_run(runs: Iterable[Run]) -> Run | None:
    """Return the run with the fittest champion, None before there is one; see `BEST_FIRST`."""
    return min(
        (run for run in runs if run.champion_fitness is not None),
        key=lambda run: (-run.champion_fitness, run.improved_at_generation, run.index),
        default=None,
    )
