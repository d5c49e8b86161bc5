"""The panels of the paper's figures that show evolution, and all panels of a figure together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from evolution.figure_choice import RunHistory, histories
from evolution.plots import drawn_value, error_label
from simulations.figures.panel import missing_panel, panel, series, with_note

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evolution.figure_choice import FigureChoice
    from simulations.figures.base import PaperFigure
    from simulations.figures.panel import Panel, Series

_NOT_COMPARABLE = (
    "The experiment has other parameters than the paper: fitness values cannot be compared."
)
#: Places of published means and of single trials, beside the mean of the trials simulated here.
_PUBLISHED_OFFSET, _TRIALS_OFFSET = 0.16, 0.2
# Errors that differ by such a factor are drawn on a logarithmic axis.
_WIDE = 30.0


def all_panels(
    choice: FigureChoice,
    simulated: Sequence[Panel] | None,
    held_out: Sequence[Mapping[str, Any]] | None,
    *,
    not_yet: str = "It has not been simulated yet.",
) -> dict[str, Panel]:
    """Return every panel of a figure by its key, in the order of the layout.

    Parameters
    ----------
    choice : FigureChoice
    simulated : sequence of panel or None
        Those of the simulation, None before it is done.
    held_out : sequence of mapping or None
        ``name``, ``expressions`` and ``trials`` of each rule that was tried with held-out seeds.
    not_yet : str
        What stands in place of a panel whose simulation is not done.
    """
    figure = choice.figure
    found = {own["key"]: own for own in figure.panels_of_rule(choice.rule)}
    if simulated is None:
        simulated = [missing_panel(key, title, not_yet) for key, title in figure.simulated.items()]
    found |= {own["key"]: own for own in simulated}
    found |= {own["key"]: own for own in evolution_panels(choice, held_out, not_yet=not_yet)}
    return {key: found[key] for row in figure.layout for key in row}


def evolution_panels(
    choice: FigureChoice,
    held_out: Sequence[Mapping[str, Any]] | None,
    *,
    not_yet: str = "",
) -> list[Panel]:
    """Return fitness by generation, held-out trials, and the path of one run.

    See :func:`all_panels` for the parameters.
    """
    figure = choice.figure
    own = histories(choice.experiment) if choice.experiment else []
    published = histories(choice.published) if choice.published else []
    panels = [
        _runs(figure, own, published, held_out),
        _validation(choice, held_out, not_yet),
    ]
    if figure.path_key:
        panels.append(_path(choice, own, published))
    if not choice.is_comparable:
        runs, validation, *path = panels
        panels = [
            *with_note([runs], _NOT_COMPARABLE),
            validation,
            *with_note(path, _NOT_COMPARABLE),
        ]
    return panels


def command_for(figure: PaperFigure) -> str:
    """Return the command that computes the experiment of a figure."""
    return f"manage.py evolve {figure.learning_task_name} --preset paper --wait"


def _axis(figure: PaperFigure) -> tuple[str, bool]:
    """Return the label of the axis of fitness, and whether it is a logarithmic one of an error."""
    label = figure.learning_task.fitness_label
    error = error_label(label)
    return (error, True) if error else (label, False)


# --- fitness of all runs ------------------------------------------------------------------------


def _runs(
    figure: PaperFigure,
    own: Sequence[RunHistory],
    published: Sequence[RunHistory],
    held_out: Sequence[Mapping[str, Any]] | None,
) -> Panel:
    title = "Champion fitness of all runs"
    message = (
        f"There is no experiment with the paper's parameters yet. It is computed by: "
        f"{command_for(figure)}"
    )
    if not own and not published:
        return missing_panel(figure.runs_key, title, message)
    label, is_log = _axis(figure)
    shown = [
        *(
            _curve(
                run,
                f"published run {run.number}",
                is_log,
                color="muted",
                legend=f"{len(published)} published runs",
            )
            for run in published
        ),
        *(_curve(run, f"run {run.number}", is_log, color=run.number - 1) for run in own),
    ]
    last = max((run.last_generation for run in (*own, *published)), default=0)
    words = [_in_words("run", own), _in_words("published run", published)]
    if figure.baseline and held_out:
        mean = _mean(_values(held_out, figure.baseline))
        if mean is not None:
            line = [drawn_value(mean, is_log=is_log)] * 2
            name = f"{figure.baseline}, held-out trials"
            shown.append(series(name, [0, max(1, last)], line, color=1, is_dashed=True))
            words.append(f"{name}: {mean:.4g} on average (dashed).")
    return panel(
        figure.runs_key,
        title,
        x_label="generation",
        y_label=label,
        y_scale="log" if is_log else "linear",
        series=shown,
        summary=" ".join(filter(None, words)),
        **({} if own else {"note": message}),
    )


def _curve(run: RunHistory, name: str, is_log: bool, **details: Any) -> Series:
    """Return a stepped curve by its corners."""
    x: list[int] = []
    y: list[float | None] = []
    ends = [generation for generation, _ in run.steps[1:]] + [run.last_generation]
    for (start, fitness), end in zip(run.steps, ends, strict=False):
        value = None if fitness is None else drawn_value(fitness, is_log=is_log)
        x += [start, end]
        y += [value, value]
    return series(name, x, y, **details)


def _in_words(name: str, runs: Sequence[RunHistory]) -> str:
    finals = [max(known) for run in runs if (known := _known(run))]
    if not finals:
        return ""
    best = max(finals)
    number = sum(math.isclose(value, best, rel_tol=1e-6) for value in finals)
    return (
        f"{len(runs)} {name}{'s' if len(runs) > 1 else ''}: the best champion has fitness "
        f"{best:.5g}, which {number} {'has' if number == 1 else 'have'} found."
    )


def _known(run: RunHistory) -> list[float]:
    return [fitness for _, fitness in run.steps if fitness is not None]


# --- held-out trials ----------------------------------------------------------------------------


def _validation(
    choice: FigureChoice, held_out: Sequence[Mapping[str, Any]] | None, not_yet: str
) -> Panel:
    figure = choice.figure
    title = "Held-out trials"
    authors = _published_trials(choice)
    if held_out is None and not authors:
        return missing_panel(figure.validation_key, title, not_yet)
    label, is_log = _axis(figure)
    sign = -1.0 if is_log else 1.0
    # The paper's rules are the first names of what was tried.
    places = {_first_name(row): place for place, row in enumerate(held_out or [])}
    ticks = [[place, row["name"]] for place, row in enumerate(held_out or [])]
    for name in authors:
        if name not in places:
            places[name] = len(places)
            ticks.append([places[name], name])
    here = [
        (row["name"], places[_first_name(row)], row["trials"])
        for row in held_out or []
        if row["trials"]
    ]
    there = [(name, places[name] + _PUBLISHED_OFFSET, trials) for name, trials in authors.items()]
    shown = [
        _mean_points(name, values, sign, mark=mark, color=color)
        for name, values, mark, color in (
            ("simulated here", here, "circle", 0),
            ("published", there, "triangle", "muted"),
        )
        if values
    ]
    shown += [
        series(
            f"{name}: trials",
            [place - _TRIALS_OFFSET for _, place, trials in values for _ in trials],
            [sign * value for _, _, trials in values for value in trials],
            "points",
            mark="x",
            color="muted",
            labels=[label for label, _, trials in values for _ in trials],
            legend="",
        )
        for name, values in (("simulated here", here),)
        if values
    ]
    spread = [abs(value) for own in shown for value in own["y"] if value]
    words = [
        f"{name}: {mean:.4g}"
        for name in places
        if (mean := _mean(_values(held_out or [], name))) is not None
    ]
    failed = [row["name"] for row in held_out or [] if row.get("reason")]
    return panel(
        figure.validation_key,
        title,
        x_label="",
        y_label=label,
        # Rules that do not learn have errors of another order of magnitude.
        y_scale="log" if is_log and spread and max(spread) > _WIDE * min(spread) else "linear",
        series=shown,
        x_ticks=ticks,
        summary="Means and standard deviations of trials that evolution has not used; crosses are "
        "single trials. Fitness "
        + ("here: " + "; ".join(words[:6]) + "." if words else "was published only.")
        + (f" Without a value: {', '.join(failed)}." if failed else ""),
        **({"note": not_yet} if held_out is None and not_yet else {}),
    )


def _mean_points(
    name: str, values: Iterable[tuple[str, float, Sequence[float]]], sign: float, **details: Any
) -> Series:
    """Return means with the standard deviation over the trials, as the authors draw it."""
    import numpy as np

    values = list(values)
    return series(
        name,
        [place for _, place, _ in values],
        [sign * np.mean(trials) for _, _, trials in values],
        "points",
        error=[np.std(trials) for _, _, trials in values],
        labels=[label for label, _, _ in values],
        **details,
    )


def _published_trials(choice: FigureChoice) -> dict[str, list[float]]:
    """Return the authors' values of held-out trials by the name of the rule."""
    if choice.published is None:
        return {}
    validations = (choice.published.published or {}).get("validations", {})
    names = {rule.run_index: rule.name for rule in choice.figure.rules}
    return {
        names.get(int(index), f"published run {int(index) + 1}"): trials
        for index, trials in validations.items()
    }


def _first_name(row: Mapping[str, Any]) -> str:
    return row["name"].split(" · ")[0]


def _values(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return next((list(row["trials"]) for row in rows if _first_name(row) == name), [])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


# --- the path of one run ------------------------------------------------------------------------


def _path(
    choice: FigureChoice, own: Sequence[RunHistory], published: Sequence[RunHistory]
) -> Panel:
    """Return fitness and rules along one run, the fittest unless one was chosen."""
    figure = choice.figure
    title = "Rules along one run"
    run = _chosen_run(own, choice.run_number)
    theirs = next((run for run in published if run.number - 1 == figure.path_run_index), None)
    if run is None and theirs is None:
        return missing_panel(
            figure.path_key,
            title,
            f"There is no experiment with the paper's parameters yet. It is computed by: "
            f"{command_for(figure)}",
        )
    label, is_log = _axis(figure)
    shown = []
    for known, name, color in ((theirs, "published run", "muted"), (run, "run", 0)):
        if known is None:
            continue
        shown.append(_curve(known, f"{name} {known.number}", is_log, color=color))
        steps = [
            (index, fitness)
            for index, fitness in known.steps
            if fitness is not None and index in known.texts
        ]
        if steps:
            shown.append(
                series(
                    f"rules of {name} {known.number}",
                    [index for index, _ in steps],
                    [drawn_value(fitness, is_log=is_log) for _, fitness in steps],
                    "labels",
                    labels=[known.texts[index] for index, _ in steps],
                    color=color,
                )
            )
    last = run or theirs
    path = "; ".join(
        f"{fitness:.5g} from generation {index} by {last.texts[index]}"
        for index, fitness in last.steps[-3:]
        if fitness is not None and index in last.texts
    )
    return panel(
        figure.path_key,
        title,
        x_label="generation",
        y_label=label,
        y_scale="log" if is_log else "linear",
        series=shown,
        summary=f"{'Run' if run else 'Published run'} {last.number}"
        + (f": at last {path}." if path else "."),
    )


def _chosen_run(runs: Sequence[RunHistory], number: int | None) -> RunHistory | None:
    if number is not None:
        return next((run for run in runs if run.number == number), None)
    known = [run for run in runs if _known(run)]
    return max(known, key=lambda run: (max(_known(run)), -run.steps[-1][0]), default=None)
