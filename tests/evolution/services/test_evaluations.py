from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from evolution.enums import EvaluationState
from evolution.models import Demand, Evaluation, EvaluationContext, Experiment, Rule
from evolution.services import claiming, evaluations
from evolution.services.claiming import Claim, Result
from evolution.services.evaluations import Want
from nest_build.rules import PlasticityRule, RuleSyntaxError
from simulations.learning_tasks import LearningTask, get_learning_task
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


@pytest.fixture
def learning_task() -> LearningTask:
    return get_learning_task(NAME)


@pytest.fixture
def context(learning_task: LearningTask) -> EvaluationContext:
    parameters = learning_task.presets["demo"].task_parameters
    return evaluations.get_or_create_context(learning_task, parameters, seed=1)


def rules_of(learning_task: LearningTask, *texts: str) -> list[PlasticityRule]:
    return [evaluations.canonical_rule(learning_task.signature, (text,)) for text in texts]


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    return make_experiment()


def ask(
    experiment: Experiment,
    context: EvaluationContext,
    *texts: str,
    n_trials: int = 3,
    bound: float | None = None,
) -> list[Evaluation]:
    """Wish to know rules; return their evaluations in order."""
    learning_task = get_learning_task(NAME)
    rules = rules_of(learning_task, *texts)
    ids = evaluations.get_or_create_rules(learning_task.signature, rules)
    made = evaluations.create_evaluations(context, dict.fromkeys(ids.values(), 1))
    found = [made[ids[rule.key]] for rule in rules]
    Demand.objects.bulk_create(
        Demand(experiment=experiment, evaluation=evaluation, n_trials=n_trials, bound=bound)
        for evaluation in found
    )
    return found


def claim(experiment: Experiment, worker: str, batch_size: int = 100) -> list[Claim]:
    return claiming.claim(
        claiming.open_demands(experiment.demands.all(), worker),
        get_learning_task(NAME).signature,
        worker=worker,
        choose=lambda waiting: list(waiting)[:batch_size],
        time_limit_s=lambda n: 60.0,
    )


def done(*trials: float, reason: str = "", seconds: float = 0.0) -> Result:
    return Result(trials, reason, "overflow" if reason else "", seconds)


def expire_leases() -> None:
    Evaluation.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def test_texts_of_the_same_rule_share_one_record(learning_task: LearningTask) -> None:
    rules = rules_of(learning_task, "s*(v - u)", "(v - u)*s", "(x_0 - x_1)*x_2", "u")
    ids = evaluations.get_or_create_rules(learning_task.signature, rules)
    assert sorted(Rule.objects.values_list("expressions", flat=True)) == [["(v - u)*s"], ["u"]]
    again = evaluations.get_or_create_rules(learning_task.signature, rules[:1])
    assert list(again.values()) == [ids[rules[0].key]]
    assert Rule.objects.count() == 2


def test_a_record_tells_what_the_rule_is(learning_task: LearningTask) -> None:
    (rule,) = rules_of(learning_task, "(v - u)*s")
    (pk,) = evaluations.get_or_create_rules(learning_task.signature, [rule]).values()
    record = Rule.objects.get(pk=pk)
    assert record.signature == "v,u,s -> delta_w"
    assert record.input_names == ("v", "u", "s")
    assert record.parsed(learning_task.signature) == rule
    assert record.fingerprint == rule.fingerprint
    assert record.complexity == 5
    assert record.mathml == list(rule.mathml)
    assert record.mathml[0].startswith("<math")
    assert str(record) == "(v - u)*s"


def test_an_expression_beyond_the_limits_is_refused(learning_task: LearningTask) -> None:
    with pytest.raises(RuleSyntaxError):
        evaluations.canonical_rule(learning_task.signature, ("v" + " + u" * 3000,))


def test_context_depends_on_what_a_trial_depends_on(learning_task: LearningTask) -> None:
    parameters = learning_task.presets["demo"].task_parameters

    def context(seed: int = 1, **changes: float) -> EvaluationContext:
        return evaluations.get_or_create_context(
            learning_task, parameters.with_changes(changes), seed
        )

    assert context() == context()
    # Values of trials do not depend on how many there are: more trials extend what is known.
    assert context(n_trials=7) == context()
    assert context(n_points=17) != context()
    assert context(seed=2) != context()


def test_a_rule_is_evaluated_once_in_a_context(
    experiment: Experiment, context: EvaluationContext, learning_task: LearningTask
) -> None:
    first, second = ask(experiment, context, "v", "u"), ask(experiment, context, "v", "u")
    assert [e.pk for e in first] == [e.pk for e in second]
    assert Evaluation.objects.count() == 2
    (rule,) = rules_of(learning_task, "v")
    ((rule_id, known),) = evaluations.find_rules(
        learning_task.signature, [rule.key, "unknown"], context
    ).values()
    assert (rule_id, known) == (first[0].rule_id, first[0])
    other = evaluations.get_or_create_context(
        learning_task, learning_task.presets["demo"].task_parameters, seed=99
    )
    found = evaluations.find_rules(learning_task.signature, [rule.key], other)
    assert found == {rule.key: (rule_id, None)}


def test_only_one_worker_holds_a_claim(experiment: Experiment, context: EvaluationContext) -> None:
    ids = {e.pk for e in ask(experiment, context, "v", "u", "s")}
    first = {c.evaluation_id for c in claim(experiment, "first", batch_size=2)}
    second = {c.evaluation_id for c in claim(experiment, "second")}
    assert len(first) == 2
    assert second == ids - first
    assert claim(experiment, "third") == []


def test_everybody_gets_what_he_wants(experiment: Experiment, context: EvaluationContext) -> None:
    ask(experiment, context, "v", n_trials=2, bound=-1.0)
    ask(experiment, context, "v", n_trials=5, bound=-2.0)
    (one,) = claim(experiment, "worker")
    assert one.want == Want(5, -2.0)
    claiming.release([one.evaluation_id], "worker", count_attempt=False)
    ask(experiment, context, "v", n_trials=3)
    (one,) = claim(experiment, "worker")
    assert one.want == Want(5, None)


def test_the_claim_of_a_lost_worker_is_taken_over(
    experiment: Experiment, context: EvaluationContext
) -> None:
    ask(experiment, context, "v", "u")
    assert len(claim(experiment, "lost")) == 2
    assert claim(experiment, "other") == []
    expire_leases()
    # One at a time: one of them may have killed the worker.
    (taken,) = claim(experiment, "other")
    assert taken.attempts == 2


def test_what_the_dead_held_is_free_at_once(
    experiment: Experiment, context: EvaluationContext
) -> None:
    ask(experiment, context, "v", "u", "s", "v + u")
    claim(experiment, "dead", batch_size=2)
    claim(experiment, "alive", batch_size=1)
    assert claiming.free_claims_of_the_dead("dead", is_timeout=None, detail="") == 2
    assert Evaluation.objects.claimed_by_worker("alive").count() == 1
    # Before those that nobody has claimed, which are never missing while other runs go on.
    for _ in range(2):
        (taken,) = claim(experiment, "other")
        assert taken.attempts == 2
        claiming.record({taken.evaluation_id: done(1.0, 2.0, 3.0)}, "other")
    (fresh,) = claim(experiment, "other")
    assert fresh.attempts == 1


@pytest.mark.parametrize(
    ("is_timeout", "is_late", "reason"),
    [
        (False, False, "crash"),
        (False, True, "crash"),
        (True, False, "time limit"),
        (None, False, "crash"),
        (None, True, "time limit"),
    ],
)
def test_the_reason_is_how_the_last_process_ended(
    experiment: Experiment,
    context: EvaluationContext,
    is_timeout: bool | None,
    is_late: bool,
    reason: str,
) -> None:
    ask(experiment, context, "v")
    for _ in range(claiming.MAX_ATTEMPTS):
        assert len(claim(experiment, "dead")) == 1
        if is_late:
            Evaluation.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
        claiming.free_claims_of_the_dead("dead", is_timeout=is_timeout, detail="Traceback")
    time.sleep(0.01)
    assert claim(experiment, "other") == []
    evaluation = Evaluation.objects.get()
    assert evaluation.reason == reason
    assert evaluation.detail.startswith("2 workers")
    assert evaluation.detail.endswith("Traceback")


def test_a_silent_worker_has_time_until_its_deadline(
    experiment: Experiment, context: EvaluationContext
) -> None:
    """A simulation that holds the interpreter lets no sign of life through."""
    (evaluation,) = ask(experiment, context, "v")
    claim(experiment, "first")
    expire_leases()
    claims = claim(experiment, "second")
    expire_leases()
    assert claim(experiment, "third") == []
    claiming.renew_leases(claims, "second", time_left_s=-1.0)
    expire_leases()
    assert claim(experiment, "third") == []
    evaluation.refresh_from_db()
    assert (evaluation.reason, evaluation.state) == ("time limit", EvaluationState.DONE)


def test_nobody_is_blamed_for_the_end_of_a_worker_that_was_told_to_end(
    experiment: Experiment, context: EvaluationContext
) -> None:
    ask(experiment, context, "v")
    for _ in range(5):
        assert len(claim(experiment, "told")) == 1
        claiming.blame_nobody(lambda name: name == "told")
        claiming.free_claims_of_the_dead("told", is_timeout=False, detail="")
    claiming.release([Evaluation.objects.get().pk], "told", count_attempt=False)
    assert Evaluation.objects.get().attempts == 0


def test_a_renewed_lease_is_kept(experiment: Experiment, context: EvaluationContext) -> None:
    ask(experiment, context, "v")
    claims = claim(experiment, "first")
    expire_leases()
    claiming.renew_leases(claims, "first", time_left_s=60.0)
    assert claim(experiment, "second") == []


def test_results_are_recorded(experiment: Experiment, context: EvaluationContext) -> None:
    good, bad = ask(experiment, context, "v", "u")
    claim(experiment, "worker")
    claiming.record(
        {
            good.pk: done(1.0, 0.1, -3e-300, seconds=0.5),
            bad.pk: done(1.0, reason="not finite", seconds=0.25),
        },
        "worker",
    )
    good.refresh_from_db()
    bad.refresh_from_db()
    assert good.trials == [1.0, 0.1, -3e-300]
    assert (good.worst, good.n_trials_done, good.seconds) == (-3e-300, 3, 0.5)
    assert good.state == bad.state == EvaluationState.DONE
    assert (bad.reason, bad.detail) == ("not finite", "overflow")
    assert claim(experiment, "other") == []
    assert not Demand.objects.unsettled().exists()


def test_partial_results_are_kept_by_their_worker(
    experiment: Experiment, context: EvaluationContext
) -> None:
    (evaluation,) = ask(experiment, context, "v")
    claim(experiment, "worker")
    claiming.record({evaluation.pk: Result((1.0,), "", "", 0.5, is_final=False)}, "worker")
    assert claim(experiment, "other") == []
    expire_leases()
    (taken,) = claim(experiment, "other")
    assert taken.trials == (1.0,)


@pytest.mark.parametrize(("bound", "is_settled"), [(None, False), (1.0, False), (1.1, True)])
def test_a_bound_settles_a_demand(
    experiment: Experiment, context: EvaluationContext, bound: float | None, is_settled: bool
) -> None:
    (evaluation,) = ask(experiment, context, "v", bound=bound)
    claim(experiment, "worker")
    claiming.record({evaluation.pk: done(2.0, 1.0)}, "worker")
    assert Demand.objects.unsettled().exists() != is_settled
    assert len(claim(experiment, "worker")) == (0 if is_settled else 1)


def test_values_of_a_worker_that_lost_its_claim_are_kept(
    experiment: Experiment, context: EvaluationContext
) -> None:
    late, failed = ask(experiment, context, "v", "u")
    claim(experiment, "slow")
    expire_leases()
    while claim(experiment, "fast"):
        pass
    claiming.record({late.pk: done(1.0, 2.0, 3.0), failed.pk: done(reason="error")}, "slow")
    late.refresh_from_db()
    failed.refresh_from_db()
    assert (late.trials, late.state, late.attempts) == ([1.0, 2.0, 3.0], EvaluationState.DONE, 0)
    # What failed for one may succeed for the other.
    assert (failed.reason, failed.state) == ("", EvaluationState.CLAIMED)
    claiming.record({late.pk: Result((1.0, 2.0), "", "", 0.0, is_final=False)}, "fast")
    claiming.record({late.pk: done(1.0, 2.0), failed.pk: done(5.0)}, "fast")
    late.refresh_from_db()
    failed.refresh_from_db()
    assert late.trials == [1.0, 2.0, 3.0]
    assert failed.trials == [5.0]


def test_more_trials_extend_what_is_known(
    experiment: Experiment, context: EvaluationContext
) -> None:
    (evaluation,) = ask(experiment, context, "v", n_trials=2)
    claim(experiment, "worker")
    claiming.record({evaluation.pk: done(1.0, 2.0, seconds=1.0)}, "worker")
    assert claim(experiment, "worker") == []
    ask(experiment, context, "v", n_trials=4)
    (more,) = claim(experiment, "worker")
    assert (more.trials, more.want.n_trials, more.attempts) == ((1.0, 2.0), 4, 1)
    claiming.record({evaluation.pk: done(1.0, 2.0, 3.0, 4.0, seconds=1.5)}, "worker")
    record = Evaluation.objects.get()
    assert (record.trials, record.seconds) == ([1.0, 2.0, 3.0, 4.0], 2.5)


def test_released_claims_are_free_again(experiment: Experiment, context: EvaluationContext) -> None:
    (evaluation,) = ask(experiment, context, "v")
    claim(experiment, "first")
    claiming.release([evaluation.pk], "first", count_attempt=False)
    record = Evaluation.objects.get()
    assert (record.state, record.attempts) == (EvaluationState.PENDING, 0)
    claim(experiment, "second")
    claiming.release([evaluation.pk], "second", detail="Traceback", count_attempt=True)
    record.refresh_from_db()
    assert (record.attempts, record.detail) == (1, "Traceback")
