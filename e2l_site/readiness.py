"""Whether this process can serve: the parts that it depends on, each asked briefly."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from evolution.services.couriers import queue_length

if TYPE_CHECKING:
    from collections.abc import Sequence

#: An answer serves whoever asks within this time, in s: anybody may ask.
_ANSWER_LASTS_S = 1.0
_answer: tuple[float, list[str]] | None = None


def unready() -> Sequence[str]:
    """Return why this process cannot serve, in sentences without details; empty if it can."""
    global _answer  # noqa: PLW0603  (a fact about the process)
    now = time.monotonic()
    if _answer is None or now - _answer[0] > _ANSWER_LASTS_S:
        _answer = (now, [*_database(), *_broker()])
    return _answer[1]


def _database() -> list[str]:
    try:
        missing = missing_migrations()
    except Error:
        return ["The database does not answer."]
    return ["The database lacks migrations."] if missing else []


def _broker() -> list[str]:
    # The channel layer of the pages is the same server.
    return ["The message broker does not answer."] if queue_length() is None else []


def missing_migrations() -> set[tuple[str, str]]:
    """Return the migrations of this code that the database lacks, in one or two statements.

    Raises
    ------
    django.db.Error
        If the database does not answer.
    """
    return _known_migrations() - set(MigrationRecorder(connection).applied_migrations())


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    """Return the migrations of this code; reading them takes longer than all the rest."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    replaced = {key for migration in loader.graph.nodes.values() for key in migration.replaces}
    return frozenset(set(loader.graph.nodes) - replaced)
