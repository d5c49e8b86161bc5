"""Simulations on demand: a person asks, a worker answers, the answer stays."""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from evolution.enums import ContextPurpose, Outcome, ProbeKind, ProbeState
from evolution.errors import ProbeRefused
from evolution.models import EvaluationContext, Probe
from evolution.models.evaluation import LEASE_S
from evolution.services import watchdog, workers
from evolution.services.couriers import queue_length, send_probe
from evolution.services.evaluations import engine_version
from evolution.services.simulator import MachineFault
from nest_build.rules import PlasticityRule, RuleSyntaxError
from simulations.evaluation import evaluate_by_trial
from simulations.learning_tasks import Reason, UnknownLearningTask, get_learning_task
from simulations.panels import panels_of

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser
    from django.db.models import QuerySet

    from evolution.models import Rule
    from simulations.evaluation import Evaluation
    from simulations.learning_tasks import LearningTask
    from simulations.parameters import TaskParameters

logger = logging.getLogger(__name__)

#: How many simulations of one person may wait or run.
MAX_OPEN = 4
#: Trials of a validation.
N_HELD_OUT = 5
#: A simulation whose worker was lost is begun again so many times in all.
MAX_ATTEMPTS = 3
# Trial k of an evaluation has the seed of its context plus k: contexts whose seeds are so far from
# each other share no trial, as no fitness is made of more.
_SEED_DISTANCE = 1000
_N_SENT_AGAIN = 8


def request_probe(
    rule: Rule,
    learning_task: LearningTask,
    *,
    preset: str,
    kind: str,
    owner: AbstractBaseUser | None,
) -> Probe:
    """Return the record of a simulation; the same question asked twice is one record.

    Raises
    ------
    ProbeRefused
        If the rule does not fit the learning task, or too many simulations wait already.
    """
    try:
        PlasticityRule.parse(learning_task.signature, rule.expressions)
    except RuleSyntaxError as error:
        raise ProbeRefused(
            f"The rule does not fit the learning task {learning_task.name}: {error.message}"
        ) from None
    parameters, seed, n_steps, n_rules = _question(learning_task, preset, kind)
    digest = _digest(rule.pk, learning_task.name, parameters.to_mapping(), seed, kind)
    known = Probe.objects.filter(digest=digest).first()
    if known is not None and known.state != ProbeState.FAILED:
        return known
    if Probe.objects.open().filter(owner=owner).count() >= MAX_OPEN:
        raise ProbeRefused(
            f"{MAX_OPEN} of your simulations are not finished yet. Wait until one of them is."
        )
    if known is not None:
        Probe.objects.filter(pk=known.pk, state=ProbeState.FAILED).update(
            state=ProbeState.WAITING, attempts=0, n_steps_done=0, reason="", detail="",
            started_at=None, finished_at=None, owner=owner, created_at=Now(),
        )  # fmt: skip
        known.refresh_from_db()
        probe = known
    else:
        probe, _ = Probe.objects.get_or_create(
            digest=digest,
            defaults={
                "kind": kind,
                "rule": rule,
                "learning_task_name": learning_task.name,
                "preset": preset,
                "task_parameters": parameters.to_mapping(),
                "seed": seed,
                "owner": owner,
                "n_steps": n_steps,
                "estimated_s": n_steps * learning_task.estimate_seconds(parameters, n_rules),
            },
        )
    transaction.on_commit(partial(send_probe, probe.pk))
    return probe


def _question(
    learning_task: LearningTask, preset_name: str, kind: str
) -> tuple[TaskParameters, int, int, int]:
    """Return parameters, seed, number of trials and of rules of a simulation."""
    preset = learning_task.presets[preset_name]
    if kind == ProbeKind.BEHAVIOUR:
        return preset.task_parameters, preset.seed, 1, 1
    changes = {**preset.validation_changes, "n_trials": N_HELD_OUT}
    parameters = preset.task_parameters.with_changes(changes)
    used = set(
        EvaluationContext.objects.filter(
            learning_task_name=learning_task.name, purpose=ContextPurpose.EVOLUTION
        ).values_list("seed", flat=True)
    )
    seed = preset.validation_seed
    while any(abs(seed - other) < _SEED_DISTANCE for other in used):
        seed += _SEED_DISTANCE
    return parameters, seed, N_HELD_OUT, 1 + len(learning_task.baselines)


def _digest(*parts: Any) -> str:
    text = json.dumps([*parts, engine_version()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def run_probe(probe_id: int, *, worker: str) -> bool:
    """Simulate what was asked for, unless somebody else does; return whether it was done here."""
    if not _claim(probe_id, worker):
        return False
    probe = Probe.objects.select_related("rule").get(pk=probe_id)
    own = Probe.objects.filter(pk=probe_id, claimed_by=worker, state=ProbeState.RUNNING)

    def beat() -> None:
        own.update(lease_expires_at=Now() + timedelta(seconds=LEASE_S))

    try:
        with workers.pulse(beat, LEASE_S / 3):
            outcome = _simulate(probe, own)
    except workers.TRANSIENT_ERRORS:
        # The lease ends, and the sweeper asks somebody again.
        raise
    except (UnknownLearningTask, RuleSyntaxError, ValueError) as error:
        outcome = {"state": ProbeState.FAILED, "reason": Reason.INVALID, "detail": str(error)}
    except MachineFault as error:
        logger.exception("Probe %s cannot be simulated here", probe_id)
        outcome = {
            "state": ProbeState.FAILED,
            "reason": Reason.ERROR,
            "detail": f"This machine cannot simulate: {error}",
        }
    except Exception as error:
        logger.exception("Probe %s has failed", probe_id)
        outcome = {
            "state": ProbeState.FAILED,
            "reason": Reason.ERROR,
            "detail": f"{type(error).__name__}: {error}"[:500],
        }
    own.update(**outcome, finished_at=Now(), claimed_by="", lease_expires_at=None)
    return True


def _claim(probe_id: int, worker: str) -> bool:
    free = Probe.objects.free().filter(pk=probe_id)
    _give_up(free)
    return bool(
        free.update(
            state=ProbeState.RUNNING,
            claimed_by=worker,
            lease_expires_at=Now() + timedelta(seconds=LEASE_S),
            started_at=Now(),
            attempts=F("attempts") + 1,
            n_steps_done=0,
        )
    )


def _simulate(probe: Probe, own: QuerySet[Probe]) -> dict[str, Any]:
    learning_task = get_learning_task(probe.learning_task_name)
    rule = PlasticityRule.parse(learning_task.signature, probe.rule.expressions)
    parameters = learning_task.parameters_type.from_mapping(probe.task_parameters)
    with watchdog.watch(watchdog.time_limit_s(probe.estimated_s)):
        if probe.kind == ProbeKind.BEHAVIOUR:
            return _behaviour(learning_task, rule, parameters, probe.seed)
        return _validation(learning_task, rule, parameters, probe.seed, own)


def _behaviour(
    learning_task: LearningTask, rule: PlasticityRule, parameters: TaskParameters, seed: int
) -> dict[str, Any]:
    (shown,) = learning_task.simulate_trial([rule], parameters, seed=seed, record_traces=True)
    arrays = shown.traces.arrays if shown.traces else {}
    if shown.value is None and not arrays:
        return {
            "state": ProbeState.FAILED,
            "reason": shown.reason or Reason.NOT_FINITE,
            "detail": shown.detail,
        }
    panels = panels_of(arrays)
    return {
        "state": ProbeState.FINISHED,
        "reason": shown.reason or "",
        "detail": shown.detail,
        "n_steps_done": 1,
        "panels": panels,
        "result": {
            "value": shown.value,
            "panels": [{name: panel[name] for name in ("title", "summary")} for panel in panels],
        },
    }


def _validation(
    learning_task: LearningTask,
    rule: PlasticityRule,
    parameters: TaskParameters,
    seed: int,
    own: QuerySet[Probe],
) -> dict[str, Any]:
    baselines = [baseline for _, baseline in learning_task.canonical_baselines]
    names = ["This rule", *(baseline.name for baseline in learning_task.baselines)]
    known: list[Evaluation] = []
    by_trial = evaluate_by_trial(
        learning_task,
        [rule, *baselines],
        parameters,
        seed=seed,
        trials=range(parameters.n_trials),
    )
    for evaluations in by_trial:
        known = evaluations
        own.update(n_steps_done=F("n_steps_done") + 1)
    return {
        "state": ProbeState.FINISHED,
        "n_steps_done": parameters.n_trials,
        "result": {
            "rows": [
                {
                    "name": name,
                    "trials": list(found.trials),
                    "fitness": found.fitness(learning_task.aggregate),
                    "reason": Outcome(found.reason).label if found.reason else "",
                }
                for name, found in zip(names, known, strict=True)
            ]
        },
    }


def send_again() -> None:
    """Ask workers again for simulations whose message or worker was lost."""
    free = Probe.objects.free()
    _give_up(free)
    waiting = free.filter(created_at__lt=Now() - timedelta(seconds=LEASE_S))
    pks = list(waiting.order_by("pk").values_list("pk", flat=True)[:_N_SENT_AGAIN])
    # Messages that wait already serve as well as new ones.
    if pks and not queue_length():
        for pk in pks:
            send_probe(pk)


def _give_up(probes: QuerySet[Probe]) -> None:
    """End simulations that have taken their workers with them."""
    probes.filter(attempts__gte=MAX_ATTEMPTS).update(
        state=ProbeState.FAILED,
        reason=Reason.CRASH,
        detail="The worker was lost, or hung and was ended, each time that it simulated this.",
        finished_at=Now(),
        claimed_by="",
        lease_expires_at=None,
    )
