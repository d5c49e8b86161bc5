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

    from django.db.backends.base.base import BaseDatabaseWrapper

#: An answer serves whoever asks within this time, in s: anybody may ask.
_ANSWER_LASTS_S = 1.0
#: Longest time to connect to PostgreSQL, in s.
_CONNECT_S = 2
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
    if "pool" not in connection.settings_dict["OPTIONS"]:
        return _missing(connection)
    # The pool would try for long to reach a server that is away.
    own = connection.copy()
    own.settings_dict["OPTIONS"].pop("pool")
    own.settings_dict["OPTIONS"]["connect_timeout"] = _CONNECT_S
    try:
        return _missing(own)
    finally:
        own.close()


def _missing(database: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    return _known_migrations() - set(MigrationRecorder(database).applied_migrations())


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    """Return the migrations of this code; reading them takes longer than all the rest."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    replaced = {key for migration in loader.graph.nodes.values() for key in migration.replaces}
    return frozenset(set(loader.graph.nodes) - replaced)
