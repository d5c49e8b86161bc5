"""What a worker takes of an experiment's runs and evaluations, and what it leaves to others."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

#: Cost of asking another worker for help, in s.
HOP_S = 0.02


def batch_size(n_rules: int, n_workers: int, seconds_of: Callable[[int], float]) -> int:
    """Return how many rules to simulate together so that all are done soonest.

    Rules share the cost of a simulation's inputs; workers share the rules.

    Parameters
    ----------
    n_rules : int
        Rules to be simulated.
    n_workers : int
        Workers that could take part.
    seconds_of : callable
        Duration in s of one simulation of so many rules.
    """
    if n_rules <= 1:
        return n_rules
    sizes = {math.ceil(n_rules / parts) for parts in range(1, min(n_workers, n_rules) + 1)}
    return min(
        sorted(sizes, reverse=True),
        key=lambda size: seconds_of(size) + (HOP_S if size < n_rules else 0.0),
    )


class Share:
    """The share of one worker in an experiment, for a slice of its time.

    Where rules are judged sooner than another worker could help, and there are at least as many
    runs as workers, each worker keeps to some of the runs, and helps with others when these wait
    for somebody else: so no worker waits for another one, and what a worker remembers of a run is
    of use. Else all workers share the rules of all runs, so that none is idle until the last.

    Parameters
    ----------
    n_runs : int
        Runs of the experiment that go on.
    n_workers : int
        Workers that there are for it.
    seconds_of : callable
        Duration in s of one simulation of so many rules.
    """

    def __init__(self, n_runs: int, n_workers: int, seconds_of: Callable[[int], float]) -> None:
        self._n_workers = n_workers
        self._seconds_of = seconds_of
        self._keeps_to_runs = n_runs >= n_workers > 1 and seconds_of(1) < HOP_S
        self._n_own = math.ceil(n_runs / n_workers) if self._keeps_to_runs else n_runs
        self._own: set[int | None] = set()
        self._left: set[int] = set()
        #: How many workers to ask for help with what the last choice has left.
        self.n_helpers = 0

    def runs_to_take(self, ready: Sequence[int]) -> list[int]:
        """Return which of the runs that wait for nothing to advance now."""
        if not self._keeps_to_runs:
            return list(ready)
        own = [run_id for run_id in ready if self.is_own(run_id)]
        if own:
            return own
        # Several workers look at the same list: each takes others.
        return random.sample(ready, min(max(1, self._n_own - len(self._own)), len(ready)))

    def is_to_wait(self, ready: Collection[int]) -> bool:
        """Tell whether to look again in a moment: somebody else is likely to be at work on what
        this worker's runs wait for, and to go on with the runs that are ready."""
        is_alone = self._n_workers == 1
        return not is_alone and bool(self._own or ready) and self._own.isdisjoint(ready)

    def is_own(self, run_id: int) -> bool:
        """Tell whether this worker keeps to a run."""
        return run_id in self._own

    def keep(self, run_id: int) -> None:
        """Note that this worker has advanced a run."""
        if len(self._own) < self._n_own:
            self._own.add(run_id)

    def evaluations_to_claim(self, waiting: Mapping[int, Collection[int | None]]) -> list[int]:
        """Return which evaluations to claim.

        Parameters
        ----------
        waiting : mapping
            By id of the evaluation who waits for it: the ids of runs, None for anybody else.
        """
        chosen = self._of_own_runs(waiting) if self._keeps_to_runs else self._of_all(waiting)
        self._note_left(waiting.keys() - set(chosen), len(chosen))
        return chosen

    def _of_all(self, waiting: Mapping[int, Collection[int | None]]) -> list[int]:
        ids = list(waiting)
        n_wanted = batch_size(len(ids), self._n_workers, self._seconds_of)
        # Several workers look at the same list: they begin at different places.
        first = random.randrange(len(ids)) if n_wanted < len(ids) else 0  # noqa: S311
        return [ids[(first + offset) % len(ids)] for offset in range(n_wanted)]

    def _of_own_runs(self, waiting: Mapping[int, Collection[int | None]]) -> list[int]:
        everybody = {run_id for run_ids in waiting.values() for run_id in run_ids}
        if not everybody & self._own:
            n_wanted = min(self._n_own, len(everybody))
            self._own = set(random.sample(sorted(everybody, key=str), n_wanted))
        return [pk for pk, run_ids in waiting.items() if not self._own.isdisjoint(run_ids)]

    def _note_left(self, left: set[int], n_taken: int) -> None:
        # Those of other runs are likely to be taken by their workers: others are asked only if they
        # still wait at the next choice.
        neglected = left & self._left if self._keeps_to_runs else left
        self._left = left
        n_shares = math.ceil(len(neglected) / n_taken) if n_taken else 0
        self.n_helpers = min(n_shares, self._n_workers - 1)
