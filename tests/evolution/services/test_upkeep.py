from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection

from evolution import catalogue
from evolution.catalogue import Criteria
from evolution.enums import EvaluationState
from evolution.models import Evaluation, Experiment
from evolution.services import evaluations, upkeep
from tests.evolution.conftest import launch, work_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import User
    from django.test import Client


N_RULES = 300


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL does it by itself")
def test_statistics_spare_a_look_at_all_evaluations_for_each_rule(
    make_experiment: Callable[..., Experiment],
) -> None:
    experiment = make_experiment(n_runs=1, n_generations=1)
    launch(experiment)
    work_until_idle()
    experiment.refresh_from_db()
    add_rules(experiment)
    before = n_instructions(lambda: list_rules(experiment))
    upkeep.refresh_statistics()
    # SQLite reads them when it opens a file; a test must not close the connection.
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sqlite_schema")
    after = n_instructions(lambda: list_rules(experiment))
    assert after < before / 5


@pytest.mark.django_db
def test_sessions_are_removed_when_they_have_expired(client: Client, admin_user: User) -> None:
    client.force_login(admin_user)
    old = SessionStore()
    old.set_expiry(-1)
    old.save()
    assert Session.objects.count() == 2
    upkeep.keep_up()
    assert Session.objects.get().session_key == client.session.session_key


def add_rules(experiment: Experiment) -> None:
    signature = experiment.learning_task.signature
    rules = [
        evaluations.canonical_rule(signature, (f"{number}*u*s",))
        for number in range(2, N_RULES + 2)
    ]
    ids = evaluations.get_or_create_rules(signature, rules)
    Evaluation.objects.bulk_create(
        Evaluation(
            context=experiment.context,
            rule_id=ids[rule.key],
            trials=[-1.0, -1.0, -1.0],
            n_trials_done=3,
            worst=-1.0,
            score=-1.0,
            complexity=rule.complexity,
            state=EvaluationState.DONE,
        )
        for rule in rules
    )


def list_rules(experiment: Experiment) -> None:
    (context,) = catalogue.contexts(experiment.learning_task, Experiment.objects.all())
    criteria = Criteria(signature=None, context=context, sort="fitness")
    found, is_more = catalogue.rule_classes(
        criteria, offset=0, limit=25, visible=Experiment.objects.all()
    )
    assert len(found) == 25
    assert is_more


def n_instructions(act: Callable[[], None]) -> int:
    """Return about how many instructions of SQLite's virtual machine an action takes."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    connection.connection.set_progress_handler(tick, 10)
    try:
        act()
    finally:
        connection.connection.set_progress_handler(None, 10)
    return 10 * count
