from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from evolution.enums import EvaluationState
from evolution.models import Evaluation, EvaluationContext, Experiment, Rule
from evolution.services import evaluations
from evolution.services.evaluations import Claim, Result
from nest_build.rules import PlasticityRule, RuleSyntaxError
from simulations.learning_tasks import Aggregate, LearningTask, get_learning_task
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


def asked(
    context: EvaluationContext, learning_task: LearningTask, *texts: str, n_trials: int = 3
) -> tuple[list[Evaluation], dict[int, PlasticityRule]]:
    """Ask for evaluations of rules and read them back."""
    rules = rules_of(learning_task, *texts)
    records = evaluations.get_or_create_rules(learning_task.signature, rules)
    evaluations.get_or_create_evaluations(context, records.values(), n_trials)
    found = list(Evaluation.objects.filter(context=context).order_by("pk"))
    return found, {records[rule.key].pk: rule for rule in rules}


def claim(
    found: list[Evaluation],
    rules: dict[int, PlasticityRule],
    worker: str,
    batch_size: int = 100,
    n_trials: int = 3,
) -> list[Claim]:
    return evaluations.claim(found, rules, n_trials=n_trials, worker=worker, batch_size=batch_size)


def expire_leases() -> None:
    Evaluation.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def test_texts_of_the_same_rule_share_one_record(learning_task: LearningTask) -> None:
    rules = rules_of(learning_task, "s*(v - u)", "(v - u)*s", "(x_0 - x_1)*x_2", "u")
    records = evaluations.get_or_create_rules(learning_task.signature, rules)
    assert sorted(record.expressions for record in records.values()) == [["(v - u)*s"], ["u"]]
    again = evaluations.get_or_create_rules(learning_task.signature, rules[:1])
    assert list(again.values()) == [records[rules[0].key]]
    assert Rule.objects.count() == 2


def test_a_record_tells_what_the_rule_is(learning_task: LearningTask) -> None:
    (rule,) = rules_of(learning_task, "(v - u)*s")
    (record,) = evaluations.get_or_create_rules(learning_task.signature, [rule]).values()
    record.refresh_from_db()
    assert record.signature == "v,u,s -> delta_w"
    assert record.parsed(learning_task.signature) == rule
    assert record.fingerprint == rule.fingerprint
    assert record.complexity == 5
    assert record.mathml == list(rule.mathml)
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


def test_a_rule_is_asked_for_once(context: EvaluationContext, learning_task: LearningTask) -> None:
    rules = rules_of(learning_task, "v", "u")
    records = evaluations.get_or_create_rules(learning_task.signature, rules).values()
    first, known = evaluations.get_or_create_evaluations(context, records, 3)
    assert known == frozenset()
    second, known = evaluations.get_or_create_evaluations(context, records, 3)
    assert known == {record.pk for record in records}
    assert {e.pk for e in first.values()} == {e.pk for e in second.values()}
    assert Evaluation.objects.count() == 2


def test_only_one_worker_holds_a_claim(
    context: EvaluationContext, learning_task: LearningTask
) -> None:
    found, rules = asked(context, learning_task, "v", "u", "s")
    assert len(claim(found, rules, "first", batch_size=2)) == 2
    # The second worker had read the rows before the first one claimed them.
    assert [item.evaluation_id for item in claim(found, rules, "second")] == [found[2].pk]
    assert claim(found, rules, "third") == []


def test_the_claim_of_a_lost_worker_is_taken_over(
    context: EvaluationContext, learning_task: LearningTask
) -> None:
    found, rules = asked(context, learning_task, "v", "u")
    claim(found, rules, "lost")
    assert claim(found, rules, "other") == []
    expire_leases()
    found = list(Evaluation.objects.order_by("pk"))
    # One at a time: one of them may have killed the worker.
    (taken,) = claim(found, rules, "other")
    assert (taken.evaluation_id, taken.attempts) == (found[0].pk, 2)


def test_a_redelivered_message_takes_its_own_claims_over_at_once(
    context: EvaluationContext, learning_task: LearningTask
) -> None:
    found, rules = asked(context, learning_task, "v")
    claim(found, rules, "message 1")
    assert len(claim(list(Evaluation.objects.all()), rules, "message 1")) == 1


def test_a_renewed_lease_is_kept(context: EvaluationContext, learning_task: LearningTask) -> None:
    found, rules = asked(context, learning_task, "v")
    claims = claim(found, rules, "first")
    expire_leases()
    evaluations.renew_leases(claims, "first")
    assert claim(found, rules, "second") == []


def test_results_are_recorded(context: EvaluationContext, learning_task: LearningTask) -> None:
    found, rules = asked(context, learning_task, "v", "u")
    good, bad = claim(found, rules, "worker")
    evaluations.record(
        {
            good.evaluation_id: Result((1.0, 0.1, -3e-300), "", "", seconds=0.5),
            bad.evaluation_id: Result((1.0,), "not finite", "overflow", seconds=0.25),
        },
        "worker",
    )
    good_record, bad_record = Evaluation.objects.order_by("pk")
    assert good_record.trials == [1.0, 0.1, -3e-300]
    assert good_record.state == bad_record.state == EvaluationState.DONE
    assert good_record.seconds == 0.5
    assert good_record.is_settled(3)
    assert good_record.fitness(3, Aggregate.MIN) == -3e-300
    assert (bad_record.reason, bad_record.detail) == ("not finite", "overflow")
    assert bad_record.is_settled(3)
    assert bad_record.fitness(3, Aggregate.MEAN) == float("-inf")
    # The trial that failed is the second one: who wants one trial does not see it.
    assert bad_record.fitness(1, Aggregate.MEAN) == 1.0
    assert claim([good_record, bad_record], rules, "other") == []


def test_results_of_a_worker_that_lost_its_claim_are_dropped(
    context: EvaluationContext, learning_task: LearningTask
) -> None:
    found, rules = asked(context, learning_task, "v")
    (slow,) = claim(found, rules, "slow")
    expire_leases()
    claim(list(Evaluation.objects.all()), rules, "fast")
    evaluations.record({slow.evaluation_id: Result((1.0, 1.0, 1.0), "", "", 0.0)}, "slow")
    assert Evaluation.objects.get().state == EvaluationState.CLAIMED
    evaluations.record({slow.evaluation_id: Result((2.0, 2.0, 2.0), "", "", 0.0)}, "fast")
    assert Evaluation.objects.get().trials == [2.0, 2.0, 2.0]


def test_more_trials_extend_what_is_known(
    context: EvaluationContext, learning_task: LearningTask
) -> None:
    found, rules = asked(context, learning_task, "v", n_trials=2)
    (first,) = claim(found, rules, "worker", n_trials=2)
    evaluations.record({first.evaluation_id: Result((1.0, 2.0), "", "", 1.0)}, "worker")
    found, _ = asked(context, learning_task, "v", n_trials=4)
    assert (found[0].state, found[0].n_trials) == (EvaluationState.PENDING, 4)
    assert found[0].is_settled(2)
    assert not found[0].is_settled(4)
    (more,) = claim(found, rules, "worker", n_trials=4)
    assert (more.trials, more.attempts) == ((1.0, 2.0), 1)
    evaluations.record({first.evaluation_id: Result((1.0, 2.0, 3.0, 4.0), "", "", 1.5)}, "worker")
    record = Evaluation.objects.get()
    assert (record.trials, record.seconds) == ([1.0, 2.0, 3.0, 4.0], 2.5)


def test_more_trials_asked_for_during_a_simulation_stay_asked_for(
    context: EvaluationContext, learning_task: LearningTask
) -> None:
    found, rules = asked(context, learning_task, "v", n_trials=2)
    (first,) = claim(found, rules, "worker", n_trials=2)
    asked(context, learning_task, "v", n_trials=4)
    evaluations.record({first.evaluation_id: Result((1.0, 2.0), "", "", 0.0)}, "worker")
    assert Evaluation.objects.get().state == EvaluationState.PENDING


def test_released_claims_are_free_again(
    context: EvaluationContext, learning_task: LearningTask
) -> None:
    found, rules = asked(context, learning_task, "v")
    claims = claim(found, rules, "first")
    evaluations.release(claims, "first", detail="", count_attempt=False)
    record = Evaluation.objects.get()
    assert (record.state, record.attempts) == (EvaluationState.PENDING, 0)
    claims = claim([record], rules, "second")
    evaluations.release(claims, "second", detail="Traceback", count_attempt=True)
    record.refresh_from_db()
    assert (record.attempts, record.detail) == (1, "Traceback")


def test_mathml_and_inputs_come_from_the_record(
    make_experiment: Callable[..., Experiment], learning_task: LearningTask
) -> None:
    (rule,) = rules_of(learning_task, "v/s")
    (record,) = evaluations.get_or_create_rules(learning_task.signature, [rule]).values()
    assert record.input_names == ("v", "u", "s")
    assert record.mathml[0].startswith("<math")
