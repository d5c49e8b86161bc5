"""The slice of work: what one worker does on one run before it turns to another.

A slice claims evaluations, simulates and records them, and where the generation is complete it
advances the run itself and goes on with the next one. So one run on one worker needs no message
per generation. Several workers may be at work on one run; whoever records the last evaluation
advances it.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import traceback
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Self

from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from evolution.enums import EvaluationState
from evolution.models import Evaluation, Individual, Run
from evolution.services import endings, evaluations, generations
from evolution.services.evaluations import LEASE_S, MAX_ATTEMPTS, Claim, Result
from evolution.services.simulator import MachineFault
from simulations.evaluation import evaluate_rules
from simulations.learning_tasks import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from evolution.services.couriers import Courier
    from evolution.services.generations import RunSetup

logger = logging.getLogger(__name__)

#: Time after which a slice hands over, so that runs take turns.
SLICE_S = 2.0
#: Cost of asking another worker for help.
HOP_S = 0.02
#: Silence after which the sweeper takes a message for lost.
STALE_S = 15.0
#: Time that results wait for a database that does not answer.
PATIENCE_S = 30.0
#: Errors of a database that is being restarted or is busy.
TRANSIENT_ERRORS = (OperationalError, InterfaceError)
_BASELINE_POLL_S = 0.05
_DETAIL_LENGTH = 10_000


class CannotSimulate(RuntimeError):
    """Simulations do not work on this machine: no rule is to blame."""


def take_ticket(run_id: int, ticket: int) -> bool:
    """Whether the message with this ticket is the first that asks for this slice of the run.

    A message may be delivered twice, or sent again because it seemed lost.
    """
    runs = Run.objects.running().filter(pk=run_id, ticket=ticket)
    return runs.update(ticket=F("ticket") + 1) == 1


def work_on_run(
    run_id: int, *, worker: str, courier: Courier, n_workers: int, slice_s: float = SLICE_S
) -> None:
    """Work on a run for a slice of time, or until nothing is left for this worker.

    Parameters
    ----------
    run_id : int
    worker : str
        Name of this worker's claims. A message that is delivered again after its worker was
        lost carries the same name and takes the claims over at once.
    courier : Courier
    n_workers : int
        Workers that could help with this run.
    slice_s : float
        Time after which to hand over.
    """
    setup = generations.load_setup(run_id)
    if setup is None:
        return
    try:
        _Slice(setup, worker, courier, n_workers).work(slice_s)
    except CannotSimulate as error:
        logger.error("Run %s: %s", run_id, error)
        endings.fail_run(run_id, str(error))
    except TRANSIENT_ERRORS:
        # Passes when the database is back; the sweeper asks again.
        raise
    except Exception as error:
        logger.exception("Run %s cannot go on", run_id)
        endings.fail_run(run_id, f"{type(error).__name__}: {error}")


def workers_per_run() -> int:
    """Return how many workers could help with each of the running runs."""
    configured = os.environ.get("E2L_WORKERS", "")
    n_workers = int(configured) if configured.isdecimal() else os.cpu_count() or 1
    return max(1, math.ceil(n_workers / max(1, Run.objects.running().count())))


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


def stale_runs() -> list[int]:
    """Return the ids of running runs that nobody works on and no recent message asks for."""
    now = timezone.now()
    limit = now - timedelta(seconds=STALE_S)
    held = Individual.objects.filter(
        run=OuterRef("pk"),
        birth_generation=OuterRef("pending_generation"),
        evaluation__state=EvaluationState.CLAIMED,
        evaluation__lease_expires_at__gte=now,
    )
    return list(
        Run.objects.running()
        .exclude(queued_at__gte=limit)
        .exclude(last_progress_at__gte=limit)
        .exclude(Exists(held))
        .values_list("pk", flat=True)
    )


class _Slice:
    def __init__(self, setup: RunSetup, worker: str, courier: Courier, n_workers: int) -> None:
        self._setup = setup
        self._worker = worker
        self._courier = courier
        self._n_workers = n_workers

    def work(self, slice_s: float) -> None:
        deadline = time.monotonic() + slice_s
        # Pages compare with the baselines in any case; a run that stops there waits for them.
        if not self._setup.has_begun or self._setup.evolution_parameters.stop_at_baseline:
            baseline_fitness = self._baseline_fitness()
            if self._setup.evolution_parameters.stop_at_baseline:
                self._setup = replace(self._setup, baseline_fitness=baseline_fitness)
        claims = self._claim()
        while True:
            if claims:
                self._evaluate(claims)
            is_late = time.monotonic() >= deadline
            step = generations.advance(
                self._setup,
                worker=self._worker,
                batch_size=_none if is_late else self._batch_size,
            )
            if step.has_ended:
                return
            if is_late:
                self._courier.queue(self._setup.run_id)
                return
            if step.has_advanced:
                claims = step.claims
                self._offer(step.n_unclaimed, len(claims))
            else:
                # What is missing is free, or in the hands of workers who find after they have
                # recorded it that this run waits for it.
                claims = self._claim()
                if not claims:
                    return

    def _claim(self) -> list[Claim]:
        setup = self._setup
        free = self._not_hopeless(
            evaluations.claimable_of_run(
                setup.run_id, setup.context, n_trials=setup.n_trials, worker=self._worker
            )
        )
        signature = setup.learning_task.signature
        claims = evaluations.claim(
            free,
            {e.rule_id: e.rule.parsed(signature) for e in free},
            n_trials=setup.n_trials,
            worker=self._worker,
            batch_size=self._batch_size(len(free)),
        )
        self._offer(len(free) - len(claims), len(claims))
        return claims

    def _not_hopeless(self, free: list[Evaluation]) -> list[Evaluation]:
        """Give up the evaluations that were claimed too often, and return the others."""
        hopeless = [evaluation for evaluation in free if evaluation.attempts >= MAX_ATTEMPTS]
        if hopeless:
            evaluations.give_up(hopeless)
            self._wake_others(evaluation.pk for evaluation in hopeless)
        return [evaluation for evaluation in free if evaluation.attempts < MAX_ATTEMPTS]

    def _baseline_fitness(self) -> float | None:
        """Return the fitness of the best baseline rule, None if no baseline has one.

        Baselines are evaluated like all other rules.
        """
        setup = self._setup
        task = setup.learning_task
        rules = {
            rule.key: rule
            for baseline in task.baselines
            for rule in [evaluations.canonical_rule(task.signature, baseline.expressions)]
        }
        records = evaluations.get_or_create_rules(task.signature, rules.values())
        parsed = {record.pk: rules[key] for key, record in records.items()}
        while True:
            known, _ = evaluations.get_or_create_evaluations(
                setup.context, records.values(), setup.n_trials
            )
            missing = [e for e in known.values() if not e.is_settled(setup.n_trials)]
            if not missing:
                fitness = [e.fitness(setup.n_trials, task.aggregate) for e in known.values()]
                return max(filter(math.isfinite, fitness), default=None)
            claims = evaluations.claim(
                self._not_hopeless(missing),
                parsed,
                n_trials=setup.n_trials,
                worker=self._worker,
                batch_size=len(missing),
            )
            if claims:
                self._evaluate(claims)
            else:
                # Another worker is at it.
                time.sleep(_BASELINE_POLL_S)

    def _batch_size(self, n_rules: int) -> int:
        setup = self._setup
        return batch_size(
            n_rules,
            self._n_workers,
            lambda size: (
                setup.n_trials * setup.learning_task.estimate_seconds(setup.task_parameters, size)
            ),
        )

    def _offer(self, n_rules: int, size: int) -> None:
        if n_rules > 0 and size > 0 and self._n_workers > 1:
            n_batches = min(math.ceil(n_rules / size), self._n_workers - 1)
            self._courier.offer(self._setup.run_id, n_batches)

    def _evaluate(self, claims: list[Claim]) -> None:
        """Simulate what is claimed, and record or release it."""
        results: dict[int, Result] = {}
        try:
            with _LeaseKeeper(claims, self._worker):
                for _, group in groupby(sorted(claims, key=_n_done), key=_n_done):
                    results |= self._simulate(list(group))
        except BaseException:
            # The machine, a person or a deadline is to blame, not the rules.
            evaluations.release(claims, self._worker, detail="", count_attempt=False)
            raise
        if results:
            _persistently(partial(evaluations.record, results, self._worker))
            self._wake_others(results)

    def _simulate(self, claims: list[Claim]) -> dict[int, Result]:
        """Return the results by evaluation; none if something went wrong but may be repeated."""
        setup = self._setup
        try:
            outcomes = evaluate_rules(
                setup.learning_task,
                [claim.rule for claim in claims],
                setup.task_parameters,
                seed=setup.trial_seed,
                trials=range(_n_done(claims[0]), setup.n_trials),
            )
        except MachineFault as error:
            raise CannotSimulate(f"Simulations do not work on this machine: {error}") from error
        except Exception:
            detail = traceback.format_exc()[-_DETAIL_LENGTH:]
            logger.warning("A simulation of %d rule(s) failed:\n%s", len(claims), detail)
            (claim, *others) = claims
            if others or claim.attempts < MAX_ATTEMPTS:
                evaluations.release(claims, self._worker, detail=detail, count_attempt=True)
                return {}
            return {
                claim.evaluation_id: Result(
                    claim.trials, reason=Reason.ERROR, detail=detail, seconds=0.0
                )
            }
        return {
            claim.evaluation_id: Result(
                trials=claim.trials + outcome.trials,
                reason=outcome.reason or "",
                detail=outcome.detail[-_DETAIL_LENGTH:],
                seconds=outcome.seconds,
            )
            for claim, outcome in zip(claims, outcomes, strict=True)
        }

    def _wake_others(self, evaluation_ids: Iterable[int]) -> None:
        # Asked after the commit: a run that did not see these results had committed its wish
        # for them by then.
        for run_id in evaluations.runs_waiting_for(
            list(evaluation_ids), but_not=self._setup.run_id
        ):
            self._courier.queue(run_id)


class _LeaseKeeper:
    """Renews the leases of claims from a thread while the simulation holds this one."""

    def __init__(self, claims: list[Claim], worker: str) -> None:
        self._claims = claims
        self._worker = worker
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_done.set()
        self._thread.join()

    def _keep(self) -> None:
        has_connected = False
        while not self._is_done.wait(LEASE_S / 3):
            has_connected = True
            try:
                evaluations.renew_leases(self._claims, self._worker)
            except TRANSIENT_ERRORS:
                logger.warning("Leases could not be renewed", exc_info=True)
                close_old_connections()
        if has_connected:
            connection.close()


def _persistently(write: Callable[[], None]) -> None:
    """Write what took long to compute, also while the database is being restarted."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            write()
        except TRANSIENT_ERRORS:
            if time.monotonic() > deadline:
                raise
            logger.warning("The database does not answer", exc_info=True)
            close_old_connections()
            time.sleep(0.5)
        else:
            return


def _none(n_rules: int) -> int:
    return 0


def _n_done(claim: Claim) -> int:
    return len(claim.trials)
