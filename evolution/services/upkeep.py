"""Upkeep of the database that nobody else does."""

from __future__ import annotations

from importlib import import_module

from django.conf import settings
from django.db import connection

from evolution.services.probes import remove_old_recordings

#: Time between two times of upkeep, in s.
INTERVAL_S = 600.0
#: Rows of each index that are looked at: takes milliseconds with a million rows, too.
_N_ROWS = 1000


def keep_up() -> None:
    """Do all of it."""
    refresh_statistics()
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    remove_old_recordings(settings.E2L_RECORDING_DAYS)


def refresh_statistics() -> None:
    """Have SQLite see how many rows tables have and how much indexes tell apart.

    Without that it takes each index for as good as any other, and may look through all evaluations
    for each rule of a list. PostgreSQL does it by itself.
    """
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA analysis_limit={_N_ROWS}")
        cursor.execute("ANALYZE")
