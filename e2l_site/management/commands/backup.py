"""Save the database to one file, while everything goes on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from evolution.management.base import bad_input

if TYPE_CHECKING:
    from argparse import ArgumentParser


#: What DATABASE_URL may say about encryption, as libpq's variables are called as well.
_ENCRYPTION = ("sslmode", "sslrootcert", "sslcert", "sslkey")


class Command(BaseCommand):
    """Uses what each database has for it: SQLite's online backup, or pg_dump.

    Either sees the database as it is at one moment; nobody who writes has to wait for long.
    """

    help = "Save the database to a file that is complete or not there. See docs/how_to."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="A new file.")

    def handle(self, **options: Any) -> None:
        path: Path = options["out"].absolute()
        # Unlike pathlib it takes a name that is too long for one that is not there.
        if os.path.exists(path):
            raise bad_input(f"{path} exists already: a backup replaces no other one.")
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        save = _save_sqlite if connection.vendor == "sqlite" else _save_postgresql
        try:
            # It holds sessions and digests of passwords.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            try:
                save(temporary)
                temporary.rename(path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from None
        size_mb = path.stat().st_size / 1e6
        self.stdout.write(f"Saved: {path} ({size_mb:.1f} MB).")


def _save_sqlite(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as copy:
            connection.ensure_connection()
            connection.connection.backup(copy)
            # One file, without a journal beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
            (verdict,) = copy.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error as error:
        raise CommandError(f"The database could not be saved: {error}.") from None
    if verdict != "ok":
        raise CommandError(f"The database is damaged: {verdict}")


def _save_postgresql(path: Path) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        raise CommandError(
            "pg_dump is not installed here: apt install postgresql-client, or run it where the "
            "server is (docs/how_to/back_up_and_restore.md)."
        )
    settings = connection.settings_dict
    places = {
        **{f"PG{name.upper()}": settings["OPTIONS"].get(name, "") for name in _ENCRYPTION},
        "PGHOST": settings["HOST"],
        "PGPORT": settings["PORT"],
        "PGUSER": settings["USER"],
        "PGPASSWORD": settings["PASSWORD"],
        "PGDATABASE": settings["NAME"],
    }
    done = subprocess.run(  # noqa: S603  (no shell, nothing from users)
        [program, "--format", "custom", "--no-owner", "--no-privileges", "--file", str(path)],
        # In the environment: others may read a command line.
        env={**os.environ, **{name: str(value) for name, value in places.items() if value}},
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        raise CommandError(f"The database could not be saved: {done.stderr.strip()}")
