"""What a simulation of several rules gives, on its way to the database."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import close_old_connections

from evolution.services import claiming
from evolution.services.claiming import Claim, Result
from evolution.services.workers import TRANSIENT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from simulations.evaluation import Evaluation
    from simulations.learning_tasks import Aggregate, Reason

logger = logging.getLogger(__name__)

#: Results are written at least so often, so that a lost worker has not worked in vain for long.
RECORD_INTERVAL_S = 1.0
#: Characters of a reason that are kept, the last ones.
DETAIL_LENGTH = 10_000
_LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True)
class Settled:
    """What is recorded of an evaluation of which nothing was known before."""

    trials: tuple[float, ...]
    reason: str
    seconds: float


class Book:
    """Writes down what a simulation gives, not more often than needed."""

    def __init__(self, claims: Sequence[Claim], worker: str, aggregate: Aggregate) -> None:
        self._claims = claims
        self._aggregate = aggregate
        self._worker = worker
        self._known: list[Evaluation] = []
        self._recorded_s = [0.0 for _ in claims]
        self._is_settled = [False for _ in claims]
        self._recorded_at = time.monotonic()
        #: What the database holds by now of evaluations that are settled, by their ids.
        self.settled: dict[int, Settled] = {}

    def enter(self, known: list[Evaluation]) -> set[int]:
        """Record the rules that are settled, now and then the others too; return the settled."""
        self._known = known
        settled = [
            index
            for index, evaluation in enumerate(known)
            if not self._is_settled[index] and self._suffices(self._claims[index], evaluation)
        ]
        for index in settled:
            self._is_settled[index] = True
        is_due = time.monotonic() - self._recorded_at >= RECORD_INTERVAL_S
        partial = [index for index, done in enumerate(self._is_settled) if not done]
        self._record([*settled, *partial] if is_due else settled)
        return {self._claims[index].evaluation_id for index in settled}

    def _suffices(self, claim: Claim, evaluation: Evaluation) -> bool:
        n_trials = len(claim.trials) + len(evaluation.trials)
        return bool(evaluation.reason or evaluation.is_pruned or n_trials >= claim.want.n_trials)

    def keep(self) -> None:
        """Record what is known of the rules that are not settled: nobody goes on here."""
        self._record([index for index, done in enumerate(self._is_settled) if not done])

    def _record(self, indices: Iterable[int]) -> None:
        results = {self._claims[index].evaluation_id: self._result(index) for index in indices}
        if not results:
            return
        self._recorded_at = time.monotonic()
        if _persistently(lambda: claiming.record(results, self._worker)):
            self.settled.update(
                (claim.evaluation_id, Settled(known.trials, known.reason or "", known.seconds))
                for claim, known, done in zip(
                    self._claims, self._known, self._is_settled, strict=True
                )
                # Of others the database knows more: who simulated them before, and for how long.
                if done and not claim.trials and claim.evaluation_id in results
            )

    def _result(self, index: int) -> Result:
        claim, evaluation = self._claims[index], self._known[index]
        seconds = evaluation.seconds - self._recorded_s[index]
        self._recorded_s[index] = evaluation.seconds
        trials = claim.trials + evaluation.trials
        return Result(
            trials=trials,
            score=self._aggregate(trials) if trials and not evaluation.reason else None,
            reason=evaluation.reason or "",
            detail=evaluation.detail[-DETAIL_LENGTH:],
            seconds=seconds,
            is_final=self._is_settled[index],
        )

    def open_claims(self) -> list[Claim]:
        """Return the claims that are not settled."""
        return [
            claim for claim, done in zip(self._claims, self._is_settled, strict=True) if not done
        ]

    def fail(self, claim: Claim, reason: Reason, detail: str) -> None:
        """Record that a rule fails in the trial after the last one."""
        index = list(self._claims).index(claim)
        trials = self._known[index].trials if self._known else ()
        result = Result(claim.trials + trials, reason, detail, 0.0)
        _persistently(lambda: claiming.record({claim.evaluation_id: result}, self._worker))


def _persistently(write: Callable[[], bool]) -> bool:
    """Write what took long to compute, also if the database is down, or its disk is full, for long.

    The worker has nothing better to do: without the database there is no other work either.
    """
    pause_s = 0.1
    while True:
        try:
            return write()
        except TRANSIENT_ERRORS:
            logger.warning("Results wait for the database", exc_info=True)
            close_old_connections()
            time.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
