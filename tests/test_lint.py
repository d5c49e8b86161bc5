"""The sources pass every check of ``make lint``."""

from __future__ import annotations

import pytest

from tests import lint


@pytest.mark.parametrize("name", list(lint.checks()))
def test_sources_pass(name: str) -> None:
    outcome = lint.run(lint.checks()[name])
    assert outcome.returncode == 0, outcome.stdout
