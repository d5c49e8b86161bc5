"""Reads for experiment files: an experiment with its whole history, as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.utils import timezone
from django.utils.text import slugify

from evolution.cgp.parameters import EvolutionParameters
from evolution.experiment_file import ExperimentFileWriter, fitness_to_json, layout
from evolution.models import Evaluation, Generation, Individual, Rule
from evolution.models.rule import signature_text
from evolution.selectors import last_generation, runs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from evolution.models import Experiment, Run

_BATCH = 2000


class ExportInterrupted(RuntimeError):
    """The experiment was deleted while it was read."""


def file_name(experiment: Experiment) -> str:
    """Return a name for the file of an experiment."""
    words = slugify(experiment.name)[:60].strip("-")
    return "-".join(filter(None, ["experiment", str(experiment.pk), words])) + layout.SUFFIX


def export_experiment(experiment: Experiment, *, written_by: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the bytes of an experiment's file.

    An experiment that runs is exported as far as its runs have come now: what they add meanwhile is
    left out.

    Parameters
    ----------
    written_by : mapping of str to str
        Versions of the software that exports.

    Raises
    ------
    ExportInterrupted
        If it is deleted meanwhile; the file that was begun cannot be read then.
    """
    runs = runs_of(experiment)
    written = ExperimentFileWriter()
    done = _Done(runs)
    yield from written.readme()
    yield from written.text(layout.CONFIGURATION, _configuration(experiment))
    yield from written.rows(layout.RUNS, done.run_rows())
    numbers = done.rule_numbers(_baseline_ids(experiment))
    yield from written.rows(layout.RULES, _rule_rows(numbers))
    yield from written.rows(layout.EVALUATIONS, _evaluation_rows(experiment, numbers))
    yield from written.rows(layout.GENERATIONS, done.generation_rows())
    yield from written.rows(layout.INDIVIDUALS, done.individual_rows(numbers))
    yield from written.finish(created_at=timezone.now(), written_by=written_by)


def _configuration(experiment: Experiment) -> dict[str, Any]:
    task = experiment.learning_task
    units = {
        name: description.unit
        for parameters_type in (task.parameters_type, EvolutionParameters)
        for name, description in parameters_type.descriptions().items()
        if description.unit
    }
    return {
        "name": experiment.name,
        "learning_task": task.name,
        "learning_task_title": task.title,
        "signature": signature_text(task.signature),
        "fitness": task.fitness_label,
        "preset": experiment.preset,
        "task_parameters": experiment.task_parameters,
        "evolution_parameters": experiment.evolution_parameters,
        "units": units,
        "seed": experiment.seed,
        "n_runs": experiment.n_runs,
        "state": experiment.state,
        "owner": experiment.owner.get_username() if experiment.owner else None,
        "tags": experiment.tags,
        "notes": experiment.notes,
        "provenance": experiment.provenance,
        "engine_version": experiment.context.engine_version if experiment.context else "",
        "published": experiment.published,
        "created_at": experiment.created_at.isoformat(),
        "started_at": _moment(experiment.started_at),
        "finished_at": _moment(experiment.finished_at),
        "rested_s": experiment.rested_s,
    }


class _Done:
    """The history of an experiment up to the generations that its runs had completed once."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = list(runs)
        self._last = {run.pk: last_generation(run) for run in self._runs}
        champions = Individual.objects.filter(pk__in=[run.champion_id for run in self._runs])
        self._champions = dict(champions.values_list("pk", "index"))

    def run_rows(self) -> Iterator[dict[str, Any]]:
        for run in self._runs:
            yield {
                "run": run.number,
                "seed": run.seed,
                "state": run.state,
                "stop_reason": run.stop_reason,
                "n_generations": self._last[run.pk],
                "champion": self._champions.get(run.champion_id),
                "champion_fitness": fitness_to_json(run.champion_fitness),
                "improved_at_generation": run.improved_at_generation,
                "n_evaluations": run.n_evaluations,
                "n_cached": run.n_cached,
                "n_pruned": run.n_pruned,
                "simulated_s": run.simulated_s,
                "saved_s": run.saved_s,
                "paused_s": run.paused_s,
                "started_at": _moment(run.started_at),
                "finished_at": _moment(run.finished_at),
            }

    def rule_numbers(self, others: Iterable[int]) -> dict[int, int]:
        """Return the number of each rule in the file by its id, in the order of the keys."""
        ids = set(others)
        for run in self._runs:
            ids.update(self._individuals(run).values_list("rule_id", flat=True).distinct())
        keys = {}
        for some in _batches(sorted(ids - {None})):
            keys.update(Rule.objects.filter(pk__in=some).values_list("pk", "key"))
        return {pk: number for number, pk in enumerate(sorted(keys, key=keys.__getitem__))}

    def generation_rows(self) -> Iterator[dict[str, Any]]:
        for run in self._runs:
            n_generations = 0
            rows = (
                Generation.objects.filter(run=run, index__lte=self._last[run.pk])
                .order_by("index")
                .values_list(
                    "index", "champion__index", "champion_fitness", "is_improvement", "parents",
                    "n_evaluations", "n_cached", "n_pruned", "created_at",
                )
            )  # fmt: skip
            for index, champion, fitness, is_better, parents, *counts, moment in _read(rows):
                n_generations += 1
                yield {
                    "run": run.number,
                    "generation": index,
                    "champion": champion,
                    "champion_fitness": fitness_to_json(fitness),
                    "is_improvement": is_better,
                    "parents": parents[0] if parents else [],
                    **dict(zip(("n_evaluations", "n_cached", "n_pruned"), counts, strict=True)),
                    "created_at": moment.isoformat(),
                }
            if n_generations != self._last[run.pk] + 1:
                raise ExportInterrupted("The experiment was deleted while it was exported.")

    def individual_rows(self, numbers: Mapping[int, int]) -> Iterator[dict[str, Any]]:
        for run in self._runs:
            rows = self._individuals(run).order_by("index").values_list(
                "index", "parent_index", "birth_generation", "origin", "genome", "constants",
                "mutated_genes", "rule_id", "fitness", "outcome", "is_neutral", "is_cached",
            )  # fmt: skip
            for index, parent, birth, origin, genome, constants, genes, rule, *rest in _read(rows):
                fitness, outcome, is_neutral, is_cached = rest
                yield {
                    "run": run.number,
                    "individual": index,
                    "parent": parent,
                    "generation": birth,
                    "origin": origin,
                    "genomes": genome,
                    "constants": constants,
                    "mutated_genes": genes,
                    "rule": None if rule is None else numbers[rule],
                    "fitness": fitness_to_json(fitness),
                    "outcome": outcome,
                    "is_neutral": is_neutral,
                    "is_cached": is_cached,
                }

    def _individuals(self, run: Run) -> Any:
        return Individual.objects.filter(run=run, birth_generation__lte=self._last[run.pk])


def _baseline_ids(experiment: Experiment) -> list[int]:
    """Return the ids of the rules of the literature, with which pages compare."""
    task = experiment.learning_task
    keys = [rule.key for _, rule in task.canonical_baselines]
    rules = Rule.objects.filter(signature=signature_text(task.signature), key__in=keys)
    return list(rules.values_list("pk", flat=True))


def _rule_rows(numbers: Mapping[int, int]) -> Iterator[dict[str, Any]]:
    for ids in _batches(list(numbers)):
        rules = Rule.objects.filter(pk__in=ids).order_by("key")
        for pk, key, expressions, complexity in rules.values_list(
            "pk", "key", "expressions", "complexity"
        ):
            yield {
                "rule": numbers[pk],
                "key": key,
                "expressions": expressions,
                "complexity": complexity,
            }


def _evaluation_rows(
    experiment: Experiment, numbers: Mapping[int, int]
) -> Iterator[dict[str, Any]]:
    if experiment.context_id is None:
        return
    known = ~Q(reason="") | Q(n_trials_done__gt=0)
    for ids in _batches(list(numbers)):
        evaluations = Evaluation.objects.filter(
            known, context=experiment.context_id, rule__in=ids
        ).order_by("rule__key")
        for pk, trials, reason, detail, seconds in evaluations.values_list(
            "rule_id", "trials", "reason", "detail", "seconds"
        ):
            yield {
                "rule": numbers[pk],
                "trials": trials,
                "reason": reason,
                "detail": detail[:10_000],
                "simulated_s": seconds,
            }


def _read(rows: Any) -> Iterator[tuple[Any, ...]]:
    return rows.iterator(chunk_size=_BATCH)


def _batches(values: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def _moment(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()
