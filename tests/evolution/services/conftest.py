"""What tests of services share."""

from __future__ import annotations

import pytest

from simulations import learning_tasks
from tests.evolution import regression_task
from tests.evolution.services.working import FaultyTask


@pytest.fixture
def faulty_task(monkeypatch: pytest.MonkeyPatch) -> type[FaultyTask]:
    task = type("FaultyTaskOfThisTest", (FaultyTask,), {"batches": []})
    monkeypatch.setitem(globals(), "TaskOfThisTest", task)
    monkeypatch.setitem(
        learning_tasks._REGISTRY, regression_task.NAME, f"{__name__}:TaskOfThisTest"
    )
    learning_tasks.get_learning_task.cache_clear()
    return task
