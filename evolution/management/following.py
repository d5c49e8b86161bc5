"""What commands share that compute an experiment here, or wait until workers have done so."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from evolution.services.couriers import Courier

INTERRUPTED = 130
_POLL_S = 0.25
_INLINE_SLICE_S = 0.5
#: Without progress for so long, people are told what they may be waiting for.
_HINT_S = 20.0


def launch_and_follow(
    launch: Callable[[Courier | None], Any],
    *,
    is_inline: bool,
    is_waited_for: bool,
    console: Console,
) -> tuple[Any, bool]:
    """Launch an experiment, and compute it here or wait for it if so wished. Ctrl-C stops it.

    Parameters
    ----------
    launch : callable
        Launches with a courier (None for the usual one) and returns the experiment.

    Returns
    -------
    experiment : Experiment
    is_interrupted : bool
        Whether a person has cut it short.
    """
    from evolution.errors import StateConflict
    from evolution.services.control import stop_experiment
    from evolution.services.couriers import SilentCourier

    courier = SilentCourier() if is_inline else None
    with no_news_of_pages() if is_inline else nullcontext():
        experiment = launch(courier)
        try:
            if courier is not None:
                follow(experiment, inline_work(experiment, courier), console)
            elif is_waited_for:
                follow(experiment, lambda: time.sleep(_POLL_S), console)
        except KeyboardInterrupt:
            # It may have ended at the same moment.
            with suppress(StateConflict):
                stop_experiment(experiment)
            return experiment, True
    return experiment, False


def follow(experiment: Any, work: Callable[[], None], console: Console) -> None:
    """Call ``work`` until the experiment has ended, and show its progress on a terminal."""
    from evolution.enums import ExperimentState
    from evolution.selectors import experiment_message

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("best {task.fields[fitness]}"),
        TimeElapsedColumn(),
        console=console,
    )
    with progress if console.is_terminal else nullcontext():
        message = experiment_message(experiment)
        bars = {
            run["run"]: progress.add_task(
                f"seed {run['seed']}", total=message["n_generations"], fitness="-"
            )
            for run in message["runs"]
        }
        moved_at, done = time.monotonic(), -1
        while not ExperimentState(message["state"]).is_final:
            work()
            message = experiment_message(experiment)
            for run in message["runs"]:
                if run["run"] not in bars:  # somebody has extended the experiment
                    bars[run["run"]] = progress.add_task(f"seed {run['seed']}", fitness="-")
                progress.update(
                    bars[run["run"]],
                    completed=max(0, run["generation"]),
                    total=message["n_generations"],
                    fitness="-" if run["fitness"] is None else f"{run['fitness']:.6g}",
                )
            done_before, done = done, sum(run["generation"] for run in message["runs"])
            if done != done_before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > _HINT_S:
                moved_at = time.monotonic()
                console.print("Nothing has happened for a while: are workers running?")


@contextmanager
def no_news_of_pages() -> Iterator[None]:
    """Keep quiet about pages that cannot be reached: here no broker is needed."""
    logger = logging.getLogger("evolution.events")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def inline_work(experiment: Any, courier: Any) -> Callable[[], None]:
    from evolution.services import work, workers

    worker = workers.claim_name()

    def work_for_a_while() -> None:
        has_worked = work.work(
            worker=worker,
            courier=courier,
            n_workers=1,
            experiment_id=experiment.pk,
            slice_s=_INLINE_SLICE_S,
        )
        if not has_worked:
            # What is missing is in the hands of other processes on this database.
            time.sleep(_POLL_S)

    return work_for_a_while
