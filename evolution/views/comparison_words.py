"""What a comparison shows, in plain words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evolution import inference
from evolution.templatetags.evolution_format import count, duration
from evolution.templatetags.evolution_format import fitness as format_fitness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evolution.comparison import Group
    from evolution.inference import Difference, Times

DIFFERENT_TASKS = (
    "These experiments have different learning tasks: their fitness values measure different "
    "things and cannot be compared."
)


def notices(groups: Sequence[Group]) -> list[str]:
    """Return what has to be known before values of these groups are compared."""
    if len({group.experiment.learning_task_name for group in groups}) > 1:
        return [DIFFERENT_TASKS]
    found = []
    trials = {
        (group.experiment.seed, repr(sorted(group.experiment.task_parameters.items())))
        for group in groups
    }
    if len(trials) > 1:
        found.append(
            "The rules were judged in different trials (other parameters of the learning task, or "
            "other seeds): a difference of the fitness may come from the trials."
        )
    n_open = sum(group.n_open for group in groups)
    if n_open:
        found.append(
            f"{n_open} run{'s have' if n_open > 1 else ' has'} not ended yet: their values are "
            "those so far."
        )
    lengths = {group.experiment.evolution_parameters.get("n_generations") for group in groups}
    if len(lengths) > 1:
        found.append("The runs have different lengths: who evolves longer ends with fitter rules.")
    return found


def target(groups: Sequence[Group]) -> str:
    """Say what counts as the target."""
    targets = [group.target for group in groups]
    known = {item.fitness for item in targets if item}
    if not known:
        return "None of these experiments has a target fitness. Give one to compare times."
    if len(known) == 1 and all(targets):
        of_known = targets[0].is_baseline
        return f"Target fitness: {format_fitness(known.pop())}" + (
            ", that of the best rule of the literature in the same trials." if of_known else "."
        )
    text = "Each experiment has a target of its own (in the table above)."
    if not all(targets):
        text += " Those without one are left out."
    return text


def fitness_summary(groups: Sequence[Group]) -> str:
    """Say in a sentence how the groups end."""
    best = [
        (run.champion_fitness, group) for group in groups if (run := group.best_run) is not None
    ]
    if not best:
        return "No run has a fitness yet."
    fitness, group = max(best, key=lambda item: item[0])
    furthest = max(curve.last_generation for group in groups for curve in group.curves)
    return (
        f"{sum(len(group.runs) for group in groups)} runs in {len(groups)} "
        f"group{'s' if len(groups) > 1 else ''}, up to generation {count(furthest)}; the best "
        f"fitness, {format_fitness(fitness)}, is one of {group.key}."
    )


def values(difference: Difference | None, keys: Sequence[str]) -> str:
    """Say what the test of the final fitness means."""
    if len(keys) < 2:
        return "With a single group there is nothing to test."
    if difference is None:
        return "All runs have the same final fitness."
    if difference.is_hopeless:
        return _too_few(difference)
    if len(difference.sizes) > 2:
        if difference.is_significant:
            text = (
                "The groups differ in their final fitness more than chance would explain: "
                f"{_percent(difference.effect)} of the variance of the ranks is between them."
            )
        else:
            text = (
                "The groups cannot be told apart by their final fitness; this does not say that "
                "they are equal."
            )
        return text + _few(difference)
    better, worse = keys if difference.effect >= 0 else keys[::-1]
    share = (1 + abs(difference.effect)) / 2
    chance = (
        f"of two runs drawn at random, that of {better} is the fitter one in {_percent(share)} "
        f"of cases (ties count half)"
    )
    if difference.is_significant:
        return f"Runs of {better} end fitter than those of {worse}: {chance}." + _few(difference)
    return (
        f"{keys[0]} and {keys[1]} cannot be told apart by their final fitness, which does not say "
        f"that they are equal: {chance}, which may be chance." + _few(difference)
    )


def times(difference: Difference | None, keys: Sequence[str]) -> str:
    """Say what the test of the time to the target means."""
    if len(keys) < 2:
        return "Times are tested where at least two groups have a target."
    if difference is None:
        return "No run has reached its target, or all did so at once: there is nothing to test."
    if difference.is_hopeless:
        return "A group of a single run has no times that could be compared: take more seeds."
    if difference.effect is None:
        if difference.is_significant:
            return "The groups reach the target at different times." + _few(difference)
        return "The groups cannot be told apart by their times." + _few(difference)
    faster, slower = keys if difference.effect >= 1 else keys[::-1]
    ratio = max(difference.effect, 1 / difference.effect)
    rate = (
        f"at any time a run of {faster} that is still on its way reaches the target {ratio:.2g} "
        f"times as often as one of {slower}"
    )
    if difference.is_significant:
        return f"Runs of {faster} reach the target earlier: {rate}." + _few(difference)
    return f"The times cannot be told apart: {rate}, which may be chance." + _few(difference)


def times_summary(known: Sequence[tuple[str, Times]], clock: str) -> str:
    """Say how many runs of each group reached the target, and by when half of them did."""
    if not known:
        return "No time to the target is known."
    parts = []
    for key, own in known[:6]:
        text = f"{key}: {len(own.reached)} of {own.n_runs}"
        if own.median is not None:
            text += f", half of them by {moment(own.median, clock)}"
        parts.append(text)
    more = f"; and {len(known) - 6} more" if len(known) > 6 else ""
    return f"Runs at the target: {'; '.join(parts)}{more}."


def moment(value: float, clock: str) -> str:
    """Return a time by a clock with its unit."""
    if clock == "seconds":
        return duration(value)
    return f"{'generation ' if clock == 'generations' else ''}{count(round(value))}" + (
        " evaluations" if clock == "evaluations" else ""
    )


def _too_few(difference: Difference) -> str:
    sizes = " and ".join(map(str, difference.sizes)) if len(difference.sizes) == 2 else "so few"
    return (
        f"Too few seeds: with {sizes} run{'' if difference.sizes == (1, 1) else 's'} even complete "
        f"separation would give p = {difference.least_p:.2g}. Take more seeds before you conclude."
    )


def _few(difference: Difference) -> str:
    if min(difference.sizes) >= inference.FEW:
        return ""
    return (
        f" The smallest group has {min(difference.sizes)} run"
        f"{'s' if min(difference.sizes) > 1 else ''} only: more seeds would make this surer."
    )


def _percent(share: float) -> str:
    return f"{math.floor(100 * share + 0.5)} %"
