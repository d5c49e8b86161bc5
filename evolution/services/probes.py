"""Simulations on demand: a person asks, a worker answers, the answer stays."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from evolution import tracing
from evolution.enums import Action, Outcome, ProbeKind, ProbeState
from evolution.errors import ProbeRefused
from evolution.events import announce_probe
from evolution.models import Probe, Recording
from evolution.models.evaluation import LEASE_S
from evolution.services import audit, watchdog, workers
from evolution.services.couriers import queue_length, send_probe
from evolution.services.evaluations import engine_version
from evolution.services.simulator import MachineFault
from nest_build.rules import PlasticityRule, RuleSyntaxError
from simulations.evaluation import evaluate_by_trial
from simulations.figures import get_figure
from simulations.learning_tasks import Reason, UnknownLearningTask, get_learning_task
from simulations.panels import panels_of
from simulations.recordings import pack

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
#: A simulation whose worker was lost is begun again so many times in all.
MAX_ATTEMPTS = 3
_N_SENT_AGAIN = 8
#: Old recordings that are removed at a time.
_N_REMOVED = 200


def request_probe(
    rule: Rule, learning_task: LearningTask, *, preset: str, owner: AbstractBaseUser | None
) -> Probe:
    """Ask what a rule does in the first trial of a preset; asked twice it is one record.

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
    kind = ProbeKind.BEHAVIOUR
    chosen = learning_task.presets[preset]
    parameters, seed = chosen.task_parameters, chosen.seed
    values = parameters.to_mapping()
    question = Question(
        digest=digest_of(rule.pk, learning_task.name, values, seed, kind),
        kind=kind,
        learning_task_name=learning_task.name,
        preset=preset,
        task_parameters=values,
        seed=seed,
        n_steps=1,
        estimated_s=learning_task.estimate_seconds(parameters),
    )
    return ask(question, rule, owner=owner)


@dataclass(frozen=True)
class Question:
    """What a probe is asked, apart from its rule; see :class:`evolution.models.Probe`."""

    digest: str
    kind: str
    learning_task_name: str
    preset: str
    task_parameters: dict[str, Any]
    seed: int
    n_steps: int
    estimated_s: float
    figure: dict[str, Any] | None = None


def ask(question: Question, rule: Rule, *, owner: AbstractBaseUser | None) -> Probe:
    """Return the record of a question, and ask a worker where there is no answer yet.

    So it does where the answer's recording was removed.

    Raises
    ------
    ProbeRefused
        If too many simulations of the person wait already.
    """
    known = Probe.objects.filter(digest=question.digest).first()
    if known is not None and not _is_to_repeat(known):
        return known
    if Probe.objects.open().filter(owner=owner).count() >= MAX_OPEN:
        raise ProbeRefused(
            f"{MAX_OPEN} of your simulations are not finished yet. Wait until one of them is."
        )
    if known is not None:
        Probe.objects.filter(pk=known.pk, state=known.state).update(
            state=ProbeState.WAITING, attempts=0, n_steps_done=0, reason="", detail="",
            started_at=None, finished_at=None, owner=owner, created_at=Now(),
        )  # fmt: skip
        known.refresh_from_db()
        probe = known
    else:
        values = {name: value for name, value in asdict(question).items() if name != "digest"}
        probe, _ = Probe.objects.get_or_create(
            digest=question.digest, defaults={**values, "rule": rule, "owner": owner}
        )
    audit.record(
        Action.SIMULATED,
        by=owner,
        subject=f"rule {rule.pk}",
        detail=f"{question.kind} in {question.learning_task_name}, {question.preset}",
    )
    transaction.on_commit(partial(send_probe, probe.pk))
    return probe


def _is_to_repeat(probe: Probe) -> bool:
    return probe.state == ProbeState.FAILED or (
        not probe.is_open and probe.result.get("is_recording_removed", False)
    )


def digest_of(*parts: Any) -> str:
    """Return the name of a question, which is another one for another engine."""
    text = json.dumps([*parts, engine_version()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def run_probe(probe_id: int, *, worker: str) -> bool:
    """Simulate what was asked for, unless somebody else does; return whether it was done here."""
    with tracing.bound(probe=probe_id):
        return _run_probe(probe_id, worker)


def _run_probe(probe_id: int, worker: str) -> bool:
    if not _claim(probe_id, worker):
        return False
    logger.info("Simulates what a person has asked for")
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
    recording = outcome.pop("recording", None)
    with transaction.atomic():
        is_own = own.update(**outcome, finished_at=Now(), claimed_by="", lease_expires_at=None)
        if is_own and recording is not None:
            Recording.objects.update_or_create(probe_id=probe_id, defaults={"content": recording})
    announce_probe(probe_id)
    return True


def _claim(probe_id: int, worker: str) -> bool:
    free = Probe.objects.free().filter(pk=probe_id)
    _give_up(free)
    won = free.update(
        state=ProbeState.RUNNING,
        claimed_by=worker,
        lease_expires_at=Now() + timedelta(seconds=LEASE_S),
        started_at=Now(),
        attempts=F("attempts") + 1,
        n_steps_done=0,
    )
    if won:
        announce_probe(probe_id)
    return bool(won)


def _simulate(probe: Probe, own: QuerySet[Probe]) -> dict[str, Any]:
    learning_task = get_learning_task(probe.learning_task_name)
    rule = PlasticityRule.parse(learning_task.signature, probe.rule.expressions)
    parameters = learning_task.parameters_type.from_mapping(probe.task_parameters)
    with watchdog.watch(watchdog.time_limit_s(probe.estimated_s)):
        if probe.kind == ProbeKind.BEHAVIOUR:
            return _behaviour(learning_task, rule, parameters, probe.seed)
        if probe.kind == ProbeKind.FIGURE:
            return _figure(probe, rule)
        return _held_out(learning_task, parameters, probe, own)


def _figure(probe: Probe, rule: PlasticityRule) -> dict[str, Any]:
    panels = get_figure(probe.figure["name"]).simulate(rule)
    in_words = [{name: own[name] for name in own if name != "series"} for own in panels]
    return {
        "state": ProbeState.FINISHED,
        "n_steps_done": 1,
        "panels": panels,
        "result": {"panels": in_words},
    }


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
    recording = pack(arrays)
    return {
        "state": ProbeState.FINISHED,
        "reason": shown.reason or "",
        "detail": shown.detail,
        "n_steps_done": 1,
        "panels": panels,
        "recording": recording,
        "result": {
            "value": shown.value,
            "has_recording": recording is not None,
            "engine": engine_version(),
            "panels": [{name: panel[name] for name in ("title", "summary")} for panel in panels],
        },
    }


def _held_out(
    learning_task: LearningTask, parameters: TaskParameters, probe: Probe, own: QuerySet[Probe]
) -> dict[str, Any]:
    tried = [
        (row["name"], PlasticityRule.parse(learning_task.signature, row["expressions"]))
        for row in probe.figure["rules"]
    ]
    known: list[Evaluation] = []
    by_trial = evaluate_by_trial(
        learning_task,
        [rule for _, rule in tried],
        parameters,
        seed=probe.seed,
        trials=range(parameters.n_trials),
    )
    for evaluations in by_trial:
        known = evaluations
        own.update(n_steps_done=F("n_steps_done") + 1)
        announce_probe(probe.pk)
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
                for (name, _), found in zip(tried, known, strict=True)
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


def remove_old_recordings(days: int) -> None:
    """Remove what was recorded more than so many days ago; values and plots stay.

    Parameters
    ----------
    days : int
        0 removes nothing.
    """
    if not days:
        return
    old = Probe.objects.filter(
        recording__isnull=False, finished_at__lt=Now() - timedelta(days=days)
    ).only("result")
    for probe in old[:_N_REMOVED]:
        with transaction.atomic():
            Recording.objects.filter(probe=probe).delete()
            probe.result |= {"has_recording": False, "is_recording_removed": True}
            probe.save(update_fields=["result"])


def _give_up(probes: QuerySet[Probe]) -> None:
    """End simulations that have taken their workers with them."""
    lost = list(probes.filter(attempts__gte=MAX_ATTEMPTS).values_list("pk", flat=True))
    if not lost:
        return
    probes.filter(pk__in=lost).update(
        state=ProbeState.FAILED,
        reason=Reason.CRASH,
        detail="The worker was lost, or hung and was ended, each time that it simulated this.",
        finished_at=Now(),
        claimed_by="",
        lease_expires_at=None,
    )
    for probe_id in lost:
        announce_probe(probe_id)
