"""The slice of work: what one worker does before it lets others have their turn.

A slice looks for an experiment with something to do, advances those of its runs that wait for
nothing, claims evaluations that they need, from all runs together, simulates and records them, and
goes on. So a run on one worker needs no message per generation, and few simulations serve many
rules. Any number of workers may be at work on one experiment. Validations take turns with
experiments; they have no runs to advance.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from itertools import groupby
from typing import TYPE_CHECKING

from django.db.models.functions import Now

from evolution import tracing
from evolution.models import Experiment, Run, Validation, Worker
from evolution.models.evaluation import LEASE_S
from evolution.services import claiming, closing, endings, validations, watchdog, workers
from evolution.services.book import DETAIL_LENGTH, Book
from evolution.services.claiming import MAX_ATTEMPTS, Claim
from evolution.services.generations import RunInHand, Step, advance
from evolution.services.setups import load_held_out_setup, load_setup
from evolution.services.shares import HOP_S, Share
from evolution.services.simulator import MachineFault
from evolution.services.workers import TRANSIENT_ERRORS
from simulations.evaluation import evaluate_by_trial
from simulations.learning_tasks import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evolution.services.couriers import Courier
    from evolution.services.setups import ExperimentSetup, HeldOutSetup

logger = logging.getLogger(__name__)

#: Time after which a slice hands over, so that experiments take turns.
SLICE_S = 2.0
_DEADLINE_MARGIN_S = 0.5


class CannotSimulate(RuntimeError):
    """Simulations do not work on this machine: no rule is to blame."""


def work(
    *,
    worker: str,
    courier: Courier,
    slice_s: float = SLICE_S,
    n_workers: int | None = None,
    experiment_id: int | None = None,
    validation_id: int | None = None,
    name: str | None = None,
) -> bool:
    """Work for a slice of time, or until nothing is left for this worker.

    Parameters
    ----------
    worker : str
        Name of this worker's claims: see :func:`evolution.services.workers.claim_name`.
    courier : Courier
    slice_s : float
        Time after which to hand over, in s.
    n_workers : int, optional
        Workers that there are; by default those that were heard of.
    experiment_id, validation_id : int, optional
        Work on this experiment, or on this validation, only.
    name : str, optional
        Name under which the worker tells what it does; None if it is of interest to nobody.

    Returns
    -------
    bool
        False if there was nothing to do.
    """
    try:
        claiming.give_back_stranded()
        deadline = time.monotonic() + slice_s
        only = (experiment_id, validation_id)
        return _work(worker, courier, deadline, n_workers, only, name)
    except TRANSIENT_ERRORS:
        claiming.strand(worker)
        raise
    finally:
        if name is not None:
            workers.rest(name)


def _work(
    worker: str,
    courier: Courier,
    deadline: float,
    n_workers: int | None,
    only: tuple[int | None, int | None],
    name: str | None,
) -> bool:
    has_worked = False
    in_vain: list[Experiment | Validation] = []
    while True:
        chosen = _next_turn(worker, in_vain, *only)
        if chosen is None:
            break
        type(chosen).objects.filter(pk=chosen.pk).update(served_at=Now())
        experiment_id = chosen.pk if isinstance(chosen, Experiment) else None
        if name is not None:
            workers.report(name, is_busy=True, experiment_id=experiment_id)
        with tracing.bound(experiment=experiment_id):
            is_of_use = _work_on(chosen, deadline, worker, courier, n_workers, name)
        if is_of_use:
            has_worked = True
        else:
            # Others were faster.
            in_vain.append(chosen)
        if time.monotonic() >= deadline or closing.has_begun():
            if has_worked:
                courier.wake(1)
            break
    return has_worked


def _next_turn(
    worker: str,
    in_vain: Sequence[Experiment | Validation],
    experiment_id: int | None,
    validation_id: int | None,
) -> Experiment | Validation | None:
    """Return the experiment or validation with work that nobody has turned to for longest."""
    found = []
    if validation_id is None:
        waiting = workers.experiments_with_work(worker)
        if experiment_id is not None:
            waiting = waiting.filter(pk=experiment_id)
        but = [item.pk for item in in_vain if isinstance(item, Experiment)]
        found.append(waiting.exclude(pk__in=but).only("pk", "served_at").first())
    if experiment_id is None:
        waiting = workers.validations_with_work(worker)
        if validation_id is not None:
            waiting = waiting.filter(pk=validation_id)
        but = [item.pk for item in in_vain if isinstance(item, Validation)]
        found.append(waiting.exclude(pk__in=but).only("pk", "served_at").first())
    return min(
        (item for item in found if item is not None),
        key=lambda item: item.served_at.timestamp() if item.served_at else -math.inf,
        default=None,
    )


def _work_on(
    chosen: Experiment | Validation,
    deadline: float,
    worker: str,
    courier: Courier,
    n_workers: int | None,
    name: str | None,
) -> bool:
    is_experiment = isinstance(chosen, Experiment)
    setup = load_setup(chosen.pk) if is_experiment else load_held_out_setup(chosen, worker)
    if setup is None:
        return False
    fail = endings.fail_experiment if is_experiment else validations.fail_validation
    try:
        return _Slice(setup, worker, courier, n_workers, name).work(deadline)
    except CannotSimulate as error:
        logger.error("%s %s: %s", type(chosen).__name__, chosen.pk, error)
        fail(chosen.pk, str(error))
    except TRANSIENT_ERRORS:
        # Passes when the database is back; the sweeper asks again.
        raise
    except Exception as error:
        logger.exception("%s %s cannot go on", type(chosen).__name__, chosen.pk)
        fail(chosen.pk, f"{type(error).__name__}: {error}")
    finally:
        if not is_experiment:
            validations.finish_answered()
    return True


class _Slice:
    def __init__(
        self,
        setup: ExperimentSetup | HeldOutSetup,
        worker: str,
        courier: Courier,
        n_workers: int | None,
        name: str | None,
    ) -> None:
        self._setup = setup
        self._worker = worker
        self._courier = courier
        self._name = name
        self._n_workers = _workers_per_experiment() if n_workers is None else n_workers
        self._open_demands = claiming.open_demands(setup.demands(), worker)
        self._in_hand: dict[int, RunInHand] = {}
        n_runs = Run.objects.running().filter(experiment=setup.experiment_id).count()
        self._share = Share(n_runs, self._n_workers, self._seconds_of)
        self._simulated: list[Claim] = []
        #: When the trial that is simulated now is given up, by the monotonic clock.
        self._give_up_at = 0.0

    def work(self, deadline: float) -> bool:
        """Work until the deadline or until nothing is left; return whether there was anything."""
        # One thread for all simulations: to start one takes longer than some of them.
        with workers.pulse(self._beat, LEASE_S / 3):
            return self._work(deadline)

    def _work(self, deadline: float) -> bool:
        has_worked = False
        run_ids = self._runs_to_take()
        while True:
            has_moved = [self._advance(run_id, deadline) for run_id in run_ids]
            has_worked |= any(has_moved)
            if has_worked and (time.monotonic() >= deadline or closing.has_begun()):
                return True
            claims = self._claim()
            if claims:
                has_worked = True
                self._evaluate(claims)
                run_ids = self._runs_to_advance(claims)
            elif any(has_moved):
                # What was left to others may have been left by them as well.
                run_ids = self._runs_to_take()
            else:
                return has_worked

    def _runs_to_take(self) -> list[int]:
        if self._setup.experiment_id is None:
            return []
        ready = self._ready_runs()
        if self._share.is_to_wait(ready.keys()):
            before = ready
            # Unlike a sleep it ends in time also where libfaketime lets the clock jump.
            threading.Event().wait(HOP_S)
            ready = {
                run_id: version
                for run_id, version in self._ready_runs().items()
                if before.get(run_id) == version or self._share.is_own(run_id)
            }
        taken = self._share.runs_to_take(list(ready))
        if len(taken) < len(ready):
            self._courier.wake(self._n_workers - 1)
        return taken

    def _ready_runs(self) -> dict[int, int]:
        """Return the versions of the runs that wait for nothing by their ids."""
        ready = workers.ready_runs().filter(experiment=self._setup.experiment_id)
        return dict(ready.order_by("index").values_list("pk", "version"))

    def _advance(self, run_id: int, deadline: float) -> bool:
        """Advance a run as far as it goes; return whether it has moved."""
        with tracing.bound(run=run_id):
            try:
                step = advance(self._setup, run_id, self._in_hand, deadline)
            except TRANSIENT_ERRORS:
                raise
            except Exception as error:
                logger.exception("Run %s cannot go on", run_id)
                endings.fail_run(run_id, f"{type(error).__name__}: {error}")
                return True
            if step is Step.ASKING:
                self._share.keep(run_id)
            return step is not Step.WAITING

    # --- claims ---

    def _claim(self) -> list[Claim]:
        claims = claiming.claim(
            self._open_demands,
            self._setup.learning_task.signature,
            worker=self._worker,
            choose=self._share.evaluations_to_claim,
            time_limit_s=self._time_limit_s,
        )
        if claims and self._share.n_helpers:
            self._courier.wake(self._share.n_helpers)
        return claims

    def _seconds_of(self, n_rules: int) -> float:
        return self._setup.n_trials * self._estimated_s(n_rules)

    def _estimated_s(self, n_rules: int) -> float:
        setup = self._setup
        return setup.learning_task.estimate_seconds(setup.task_parameters, n_rules)

    def _time_limit_s(self, n_rules: int) -> float:
        return watchdog.time_limit_s(self._estimated_s(n_rules))

    # --- simulation ---

    def _evaluate(self, claims: list[Claim]) -> None:
        """Simulate what is claimed, and record or release it."""
        unfinished = {claim.evaluation_id for claim in claims}
        self._give_up_at = time.monotonic() + self._time_limit_s(len(claims))
        self._simulated = claims
        try:
            for trials, group in groupby(sorted(claims, key=_trials), key=_trials):
                alike = list(group)
                names = ",".join(str(claim.evaluation_id) for claim in alike)
                with tracing.bound(evaluation=names):
                    self._simulate(alike, range(*trials), unfinished)
                if closing.has_begun():
                    break
        except BaseException:
            # The machine, a person or a deadline is to blame, not the rules.
            claiming.release(unfinished, self._worker, count_attempt=False)
            raise
        finally:
            self._simulated = []
        if closing.has_begun() and unfinished:
            claiming.release(unfinished, self._worker, count_attempt=False)
            self._courier.wake(1)

    def _beat(self) -> None:
        if claims := self._simulated:
            # So much less that the deadline has passed when the watchdog has ended this process.
            time_left_s = self._give_up_at - time.monotonic() - _DEADLINE_MARGIN_S
            claiming.renew_leases(claims, self._worker, time_left_s)
        if self._name is not None:
            workers.report(self._name, is_busy=True)

    def _simulate(self, claims: list[Claim], trials: range, unfinished: set[int]) -> None:
        """Simulate claims that lack the same trials; record what they give, trial by trial."""
        setup = self._setup
        logger.debug("Simulates %d rule(s) in trials %s", len(claims), trials)
        book = Book(claims, self._worker, setup.learning_task.aggregate)
        simulation = evaluate_by_trial(
            setup.learning_task,
            [claim.rule for claim in claims],
            setup.task_parameters,
            seed=setup.trial_seed,
            trials=trials,
            bounds=[claim.want.bound for claim in claims],
        )
        try:
            while True:
                limit_s = self._time_limit_s(len(claims))
                self._give_up_at = time.monotonic() + limit_s
                with watchdog.watch(limit_s):
                    known = next(simulation, None)
                if known is None:
                    break
                settled = book.enter(known)
                unfinished -= settled
                for run in self._in_hand.values():
                    run.known.learn(book.settled)
                if closing.has_begun():
                    book.keep()
                    break
                if settled and unfinished and self._n_workers > 1:
                    # Somebody else could go on with the runs that wait for these.
                    self._courier.wake(1)
        except MachineFault as error:
            raise CannotSimulate(f"Simulations do not work on this machine: {error}") from error
        except TRANSIENT_ERRORS:
            raise
        except Exception:
            unfinished -= self._blame(book, traceback.format_exc()[-DETAIL_LENGTH:])

    def _blame(self, book: Book, detail: str) -> set[int]:
        """Release the claims whose simulation failed, or give a single rule up."""
        claims = book.open_claims()
        logger.warning("A simulation of %d rule(s) failed:\n%s", len(claims), detail)
        (claim, *others) = claims
        ids = {claim.evaluation_id for claim in claims}
        if others or claim.attempts < MAX_ATTEMPTS:
            claiming.release(ids, self._worker, detail=detail, count_attempt=True)
        else:
            book.fail(claim, Reason.ERROR, detail)
        return ids

    def _runs_to_advance(self, claims: list[Claim]) -> list[int]:
        """Return the runs of this experiment that wait for the claims; wake others for theirs."""
        # Asked after the commit: a run that did not see these results had committed its wish
        # for them by then.
        waiting = claiming.waiting_for(claim.evaluation_id for claim in claims)
        own = self._setup.experiment_id
        if any(experiment_id != own for experiment_id, _ in waiting):
            self._courier.wake(1)
        return sorted(
            {run_id for experiment_id, run_id in waiting if experiment_id == own and run_id}
        )


def _workers_per_experiment() -> int:
    """Return how many workers could help with each of the running experiments."""
    n_experiments = Experiment.objects.running().count()
    return max(1, math.ceil(Worker.objects.available().count() / max(1, n_experiments)))


def _trials(claim: Claim) -> tuple[int, int]:
    return len(claim.trials), claim.want.n_trials
