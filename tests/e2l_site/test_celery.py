from __future__ import annotations

import time

import pytest
from kombu.exceptions import OperationalError

from e2l_site.celery import app

AWAY = "redis://127.0.0.1:1/0"


def test_a_broker_that_was_away_for_long_is_found_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda seconds: None)
    pauses: list[float] = []
    with app.connection_for_read(url=AWAY) as connection, pytest.raises(OperationalError):
        # As a worker's consumer calls it, which has no setting for the pauses.
        connection.ensure_connection(lambda error, pause: pauses.append(pause), 50)
    assert len(pauses) == 50
    assert max(pauses) == 5.0


def test_nobody_who_sends_waits_for_a_broker_that_is_away() -> None:
    started = time.monotonic()
    with app.connection_for_write(url=AWAY) as connection, pytest.raises(OperationalError):
        connection.default_channel  # noqa: B018  (connects)
    assert time.monotonic() - started < 2.0
