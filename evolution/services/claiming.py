"""Claims: who may simulate which rule, by a lease, and what became of it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Case, F, Value, When
from django.db.models.expressions import RawSQL
from django.db.models.functions import Concat, Now

from evolution.enums import EvaluationState
from evolution.models import Demand, Evaluation
from evolution.models.evaluation import LEASE_S
from evolution.prepared import (
    PreparedQuery,
    PreparedUpdate,
    number_places,
    padded,
    text_places,
)
from evolution.services.evaluations import Want
from nest_build.rules import PlasticityRule, RuleSignature
from simulations.learning_tasks import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from django.db.models import QuerySet

#: Claims after which a rule that never got a result is given up.
MAX_ATTEMPTS = 2
#: Open evaluations that a worker looks at to choose a batch.
_MAX_CANDIDATES = 128
# Changes of a claim that is given back, and of one that says nothing about the rule.
_FREE: dict[str, Any] = {
    "state": EvaluationState.PENDING,
    "claimed_by": "",
    "lease_expires_at": None,
}
_NO_ATTEMPT: dict[str, Any] = {
    "attempts": Case(When(attempts__gt=0, then=F("attempts") - 1), default=0)
}
# Names of claims of this process whose slice has ended without the database.
_stranded: set[str] = set()


@dataclass(frozen=True)
class Claim:
    """The right and the duty to simulate trials of one rule."""

    evaluation_id: int
    rule: PlasticityRule
    trials: tuple[float, ...]
    want: Want
    attempts: int


@dataclass(frozen=True)
class Result:
    """What became of a claim so far.

    Attributes
    ----------
    trials : tuple of float
        All values that are known.
    seconds : float
        Time of simulation since the last result.
    is_final : bool
        False while the worker goes on.
    score : float or None
        Fitness by the known trials, None where a trial failed.
    """

    trials: tuple[float, ...]
    reason: str
    detail: str
    seconds: float
    is_final: bool = True
    score: float | None = None


def open_demands(demands: QuerySet[Demand], worker: str) -> PreparedQuery:
    """Return what finds those of the demands that ``worker`` may meet."""
    return PreparedQuery(
        demands.active()
        .unsettled()
        .free(worker)
        .order_by("evaluation_id")
        .values_list(
            "evaluation_id",
            "run_id",
            "n_trials",
            "bound",
            "evaluation__attempts",
            "evaluation__trials",
            "evaluation__rule__expressions",
        )[:_MAX_CANDIDATES]
    )


def claim(
    demands: PreparedQuery,
    signature: RuleSignature,
    *,
    worker: str,
    choose: Callable[[Mapping[int, Collection[int | None]]], Sequence[int]],
    time_limit_s: Callable[[int], float],
) -> list[Claim]:
    """Claim open evaluations of one context that are waited for, such as those of all runs of an
    experiment.

    A rule whose claim was lost before may have killed its worker: it is claimed alone, so that it
    takes no others with it, and after too many claims it is given up. It is claimed before others:
    its run waits, while the other runs of an experiment always have new rules.

    Parameters
    ----------
    demands : PreparedQuery
        See :func:`open_demands`.
    signature : RuleSignature
        Of the learning task.
    worker : str
        Name of the claims, which nobody else has.
    choose : callable
        Given who waits for each open evaluation, ids of runs or None for anybody else by its id,
        which to claim.
    time_limit_s : callable
        Given the number of rules of a simulation, when it is given up, in s.
    """
    candidates: dict[int, tuple[Want, int, list[float], list[str]]] = {}
    waiting: dict[int, set[int | None]] = {}
    for evaluation_id, run_id, n_trials, bound, attempts, trials, texts in demands.rows():
        waiting.setdefault(evaluation_id, set()).add(run_id)
        want = Want(n_trials, bound)
        if evaluation_id in candidates:
            want = want.merged(candidates[evaluation_id][0])
        candidates[evaluation_id] = (want, attempts, trials, texts)
    hopeless = [pk for pk, (_, attempts, _, _) in candidates.items() if attempts >= MAX_ATTEMPTS]
    if hopeless:
        give_up(hopeless, worker)
        for pk in hopeless:
            del candidates[pk]
    suspects = [pk for pk, (_, attempts, _, _) in candidates.items() if attempts > 0]
    # Several workers look at the same list: each takes another one.
    ids = random.sample(suspects, 1) if suspects else list(candidates)
    chosen = list(choose({pk: waiting[pk] for pk in ids})) if ids else []
    if not chosen:
        return []
    if _claim(chosen, worker, time_limit_s(len(chosen))) < len(chosen):
        mine = set(
            Evaluation.objects.filter(pk__in=chosen)
            .claimed_by_worker(worker)
            .values_list("pk", flat=True)
        )
        chosen = [pk for pk in chosen if pk in mine]
    claims = []
    for pk in sorted(chosen):
        want, attempts, trials, texts = candidates[pk]
        claims.append(
            Claim(
                evaluation_id=pk,
                rule=PlasticityRule.parse(signature, texts),
                trials=tuple(trials),
                want=want,
                attempts=attempts + 1,
            )
        )
    return claims


def _claim(evaluation_ids: Sequence[int], worker: str, limit_s: float) -> int:
    """Claim those that are still free; return how many."""
    ids = padded(evaluation_ids)
    (place,) = text_places(1)
    places = {place: worker, **dict(zip(number_places(len(ids)), ids, strict=True))}
    # The limit of some rules is always the same: it is written into the statement.
    claim = _claiming(len(ids), math.ceil(limit_s))
    return claim.update([EvaluationState.CLAIMED, worker], places)


@lru_cache(maxsize=64)
def _claiming(n_evaluations: int, limit_s: int) -> PreparedUpdate:
    (worker,) = text_places(1)
    return PreparedUpdate(
        Evaluation.objects.filter(pk__in=number_places(n_evaluations)).free(worker),
        ["state", "claimed_by"],
        {
            "lease_expires_at": Now() + timedelta(seconds=LEASE_S),
            "deadline_at": Now() + timedelta(seconds=limit_s),
            "attempts": F("attempts") + 1,
        },
    )


def give_up(evaluation_ids: Iterable[int], worker: str) -> None:
    """Record that rules never got a result: each of their workers was lost.

    A worker that is silent because a simulation holds the interpreter may still have a result,
    until its deadline.
    """
    lost = Evaluation.objects.filter(
        pk__in=list(evaluation_ids), attempts__gte=MAX_ATTEMPTS, reason=""
    ).free(worker)
    common = {"state": EvaluationState.DONE, "lease_expires_at": None}
    lost.filter(deadline_at__lt=Now()).update(
        reason=Reason.TIME_LIMIT,
        detail=_before_detail(
            f"{MAX_ATTEMPTS} workers had no result of this rule within the time limit."
        ),
        **common,
    )
    lost.filter(deadline_at__isnull=True).update(
        reason=Reason.CRASH,
        detail=_before_detail(f"{MAX_ATTEMPTS} workers were lost while they simulated this rule."),
        **common,
    )


def _before_detail(sentence: str) -> Concat:
    return Concat(Value(f"{sentence}\n\n"), F("detail"))


def claimants() -> list[str]:
    """Return the names of all workers that hold claims."""
    claimed = Evaluation.objects.filter(state=EvaluationState.CLAIMED)
    return list(claimed.values_list("claimed_by", flat=True).distinct())


def free_claims_of_the_dead(worker: str, *, is_timeout: bool | None, detail: str) -> int:
    """Give back what a worker holds that has certainly ended; return how many claims it was.

    Parameters
    ----------
    is_timeout : bool or None
        Whether the time limit has ended it; None if that is not known.
    detail : str
        For operators.
    """
    lost = Evaluation.objects.all().claimed_by_worker(worker)
    if is_timeout:
        lost.filter(deadline_at__gt=Now()).update(deadline_at=Now())
    elif is_timeout is not None:
        lost.update(deadline_at=None)
    else:
        # Within its time limit it did not end by itself.
        lost.filter(deadline_at__gt=Now()).update(deadline_at=None)
    return lost.update(**_FREE, detail=detail)


def blame_nobody(is_ending: Callable[[str], bool]) -> None:
    """Note that workers which were told to end, and are killed if they do not, are no sign of
    bad rules."""
    names = [name for name in claimants() if is_ending(name)]
    Evaluation.objects.filter(
        state=EvaluationState.CLAIMED, claimed_by__in=names, attempts__gt=0
    ).update(attempts=F("attempts") - 1)


def renew_leases(claims: Iterable[Claim], worker: str, time_left_s: float) -> None:
    """Tell everybody that the worker which holds the claims is alive.

    Parameters
    ----------
    time_left_s : float
        Time until the worker gives up the trial that it is in.
    """
    Evaluation.objects.filter(pk__in=[claim.evaluation_id for claim in claims]).claimed_by_worker(
        worker
    ).update(
        lease_expires_at=Now() + timedelta(seconds=LEASE_S),
        deadline_at=Now() + timedelta(seconds=time_left_s),
    )


def release(
    evaluation_ids: Iterable[int], worker: str, *, detail: str = "", count_attempt: bool
) -> None:
    """Give claims back without a result.

    Parameters
    ----------
    detail : str
        What happened, for operators.
    count_attempt : bool
        Whether the rule may be to blame.
    """
    changes: dict[str, object] = {"detail": detail} if detail else {}
    if not count_attempt:
        changes |= _NO_ATTEMPT
    Evaluation.objects.filter(pk__in=list(evaluation_ids)).claimed_by_worker(worker).update(
        **_FREE, **changes
    )


def strand(worker: str) -> None:
    """Note that a slice has ended because the database went away: only the database knows what the
    slice held, and cannot be told that nobody works on it."""
    _stranded.add(worker)


def give_back_stranded() -> None:
    """Give back what slices of this process held when the database went away: no rule is to blame.

    Otherwise the leases would end, and a rule that had the bad luck to be in hand at two restarts
    of the database would be given up.
    """
    for worker in list(_stranded):
        Evaluation.objects.all().claimed_by_worker(worker).update(**_FREE, **_NO_ATTEMPT)
        _stranded.discard(worker)


def record(results: Mapping[int, Result], worker: str) -> bool:
    """Write results by id of the evaluation, in one statement if the worker still holds all claims;
    return whether it does.

    Values that come after a claim was lost are welcome where they are more than is known: the
    worker that took over finds the same ones, and need not.
    """
    columns = {
        evaluation_id: {
            "trials": list(result.trials),
            "n_trials_done": len(result.trials),
            "worst": min(result.trials, default=None),
            "score": result.score,
            "reason": result.reason,
            "detail": result.detail,
            "seconds": result.seconds,
            # A rule with values is not to blame if its worker is lost in a later trial.
            "attempts": 0 if result.is_final else 1,
            "state": EvaluationState.DONE if result.is_final else EvaluationState.CLAIMED,
        }
        for evaluation_id, result in results.items()
    }
    if _record_claimed(columns, worker) == len(results):
        return True
    for evaluation_id, result in results.items():
        if result.is_final and not result.reason:
            Evaluation.objects.filter(
                pk=evaluation_id, n_trials_done__lt=len(result.trials), reason=""
            ).exclude(claimed_by=worker).update(
                trials=list(result.trials),
                n_trials_done=len(result.trials),
                worst=min(result.trials),
                score=result.score,
                seconds=F("seconds") + result.seconds,
                attempts=0,
                state=EvaluationState.DONE,
            )
    return False


def _record_claimed(columns: Mapping[int, Mapping[str, Any]], worker: str) -> int:
    """Write values by id and column where ``worker`` holds the claim; return how many rows."""
    names = tuple(next(iter(columns.values())))
    if len(columns) == 1:
        ((pk, values),) = columns.items()
        (pk_place,), (worker_place,) = number_places(1), text_places(1)
        return _recording(names).update(list(values.values()), {pk_place: pk, worker_place: worker})
    changes = {name: _by_id(columns, name) for name in names}
    changes["seconds"] = F("seconds") + changes["seconds"]
    return Evaluation.objects.filter(pk__in=columns).claimed_by_worker(worker).update(**changes)


@lru_cache(maxsize=1)
def _recording(names: tuple[str, ...]) -> PreparedUpdate:
    (pk,), (worker,) = number_places(1), text_places(1)
    return PreparedUpdate(
        Evaluation.objects.filter(pk=pk).claimed_by_worker(worker), names, adds=["seconds"]
    )


def _by_id(columns: Mapping[int, Mapping[str, Any]], name: str) -> Any:
    """Return the value of a column for all rows, or a choice by id where they differ.

    Django's ``bulk_update`` always chooses, which takes longer than all the rest of a generation,
    and its conditional expressions look up in the model for each row what "id" is.
    """
    values = {pk: row[name] for pk, row in columns.items()}
    first = next(iter(values.values()))
    field = Evaluation._meta.get_field(name)
    if all(value == first for value in values.values()):
        return Value(first, output_field=field)
    choices = [(pk, field.get_db_prep_save(value, connection)) for pk, value in values.items()]
    return RawSQL(  # noqa: S611
        f"CASE id {'WHEN %s THEN %s ' * len(choices)}END", list(chain(*choices)), field
    )


def waiting_for(evaluation_ids: Iterable[int]) -> list[tuple[int | None, int | None]]:
    """Return experiment and run of everybody who waits for one of the evaluations."""
    wanted = padded(list(evaluation_ids))
    values = dict(zip(number_places(len(wanted)), wanted, strict=True))
    return _waiting_query(len(wanted)).rows(values)


@lru_cache(maxsize=16)
def _waiting_query(n_evaluations: int) -> PreparedQuery:
    return PreparedQuery(
        Demand.objects.filter(evaluation_id__in=number_places(n_evaluations))
        .active()
        .values_list("experiment_id", "run_id")
        .distinct()
    )
