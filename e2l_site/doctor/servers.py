"""Are the settings right, and do the servers answer that they name?"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from e2l_site import broker, preflight, private_valkey
from e2l_site.doctor.findings import (
    Finding,
    configured_settings,
    failure,
    first_line,
    ok,
    some,
    warning,
)
from e2l_site.locations import PROJECT_ROOT, data_directory, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Clocks that differ by more confuse those who read logs of several machines, in s.
CLOCK_SKEW_S = 2.0


def check_settings() -> Iterator[Finding]:
    """Load the settings, and look at those that matter where others reach the site."""
    try:
        settings = configured_settings()
    except Exception as error:
        yield failure(
            "settings",
            f"The settings cannot be read: {error}",
            "Correct the environment variable that is named; all are in the README.",
        )
        return
    yield ok("settings", "The settings can be read.")
    yield from _check_access(settings)
    manifest = PROJECT_ROOT / "staticfiles" / "staticfiles.json"
    if not manifest.exists():
        yield failure(
            "static files",
            "Style sheets and scripts have not been collected: pages have no style.",
            "Run make setup (manage.py collectstatic), then restart the web server.",
        )
    else:
        yield ok("static files", "Style sheets and scripts have been collected.")


def _check_access(settings: Any) -> Iterator[Finding]:
    hosts: list[str] = settings.ALLOWED_HOSTS
    others = [host for host in hosts if host not in {"localhost", "127.0.0.1", "[::1]"}]
    is_https = os.environ.get("E2L_HTTPS", "").strip().lower() in {"1", "true", "yes", "on"}
    if settings.DEBUG:
        finding = failure if others else warning
        yield finding(
            "debugging",
            "E2L_DEBUG is on: error pages show settings and code to everybody.",
            "Unset E2L_DEBUG and start the site again.",
        )
    if "*" in hosts:
        yield warning(
            "hosts",
            "E2L_ALLOWED_HOSTS is *: forged host names are believed.",
            "Name the hosts under which people reach the site.",
        )
    if others and not is_https:
        yield warning(
            "HTTPS",
            f"The site is reached as {some(others)} and E2L_HTTPS is off: passwords may travel "
            "unencrypted.",
            "Put a proxy with TLS before it and set E2L_HTTPS=1.",
        )
    elif others:
        yield ok("HTTPS", f"The site is reached as {some(others)} through HTTPS.")
    else:
        yield ok("HTTPS", "The site is reached from this machine only.")
    if others and not os.environ.get("E2L_SECRET_KEY", "").strip():
        yield warning(
            "secret key",
            "E2L_SECRET_KEY is not set: this machine has made its own, and another web host would "
            "sign people out.",
            "With several web hosts set it to the same value on each; with one, leave it.",
        )


def check_database() -> Iterator[Finding]:
    """Reach the database, compare its tables with this code, and write to it."""
    configured_settings()
    from django.db import Error, connection

    from e2l_site.readiness import missing_migrations

    try:
        connection.ensure_connection()
    except Exception as error:
        yield failure(
            "database",
            f"The database does not answer: {first_line(error)}",
            "Is the server started, and is DATABASE_URL right (user, password, host, name)?",
        )
        return
    numbers = ".".join(str(number) for number in connection.get_database_version())
    yield ok("database", f"{connection.display_name} {numbers} answers.")
    missing = missing_migrations()
    if missing:
        first = ".".join(min(missing))
        yield failure(
            "migrations",
            f"The database lacks {len(missing)} migrations, such as {first}.",
            "Make a backup, then run .venv/bin/python manage.py migrate.",
        )
        return
    yield ok("migrations", "The tables are those of this code.")
    try:
        _write_and_undo()
    except Error as error:
        yield failure(
            "database writes",
            f"The database cannot be written: {first_line(error)}",
            "Is its disk full, is the file or the server read-only, does the user own the tables?",
        )
    else:
        yield ok("database writes", "The database can be written.")
    yield from _check_clock()


def _write_and_undo() -> None:
    from django.db import transaction

    from evolution.models import WorkerHost

    with transaction.atomic():
        WorkerHost.objects.create(name=f"doctor {os.getpid()}")
        transaction.set_rollback(True)


def _check_clock() -> Iterator[Finding]:
    from datetime import UTC, datetime

    from django.contrib.contenttypes.models import ContentType
    from django.db.models.functions import Now

    theirs = ContentType.objects.annotate(now=Now()).values_list("now", flat=True).first()
    if theirs is None:
        return
    skew_s = (datetime.now(UTC) - theirs).total_seconds()
    if abs(skew_s) > CLOCK_SKEW_S:
        yield warning(
            "clock",
            f"The clocks of this machine and of the database differ by {abs(skew_s):.1f} s. Leases "
            "go by the database's; times in logs do not agree.",
            "Have both machines set their clocks by NTP (systemd-timesyncd, chrony).",
        )
    else:
        yield ok("clock", "The clocks of this machine and of the database agree.")


def check_broker() -> Iterator[Finding]:
    """Reach the broker and look at its version and settings."""
    if broker.is_private():
        yield from _check_private_valkey()
        return
    import redis

    url = broker.redis_url()
    try:
        with redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3) as client:
            info = client.info()
    except (redis.RedisError, OSError, ValueError) as error:
        yield failure(
            "broker",
            f"The message broker does not answer: {first_line(error)}",
            "Is the server started, and is REDIS_URL right (host, port, password, number)?",
        )
        return
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    if int(version.split(".")[0]) < 6:
        yield failure("broker", f"{name} {version} is too old.", "Install version 6 or later.")
    else:
        yield ok("broker", f"{name} {version} answers.")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and info.get("maxmemory"):
        yield warning(
            "broker memory",
            f"The broker forgets messages when its memory is full (maxmemory-policy {policy}).",
            "Set maxmemory-policy noeviction.",
        )


def _check_private_valkey() -> Iterator[Finding]:
    path = broker.socket_path()
    if not private_valkey.answers(path):
        if _launcher_runs():
            log = shown(data_directory() / "log" / "valkey.log")
            yield failure(
                "broker",
                f"The private Valkey at {path} does not answer.",
                f"Look at {log}, stop e2l and start it again.",
            )
        else:
            yield warning(
                "broker",
                "The site is not started: its private message broker does not run.",
                "Start it with make up.",
            )
        return
    yield ok("broker", f"The private Valkey at {path} answers.")
    status = path.parent.stat()
    if status.st_mode & 0o077 or status.st_uid != os.getuid():
        yield failure(
            "broker socket",
            f"Others may reach the private broker: {path.parent} has mode "
            f"{stat.S_IMODE(status.st_mode):o}.",
            f"chmod 700 {path.parent}",
        )
    else:
        yield ok("broker socket", "Only this user reaches the private broker.")


def _launcher_runs() -> bool:
    try:
        preflight.check_no_launcher(data_directory())
    except preflight.PreflightError:
        return True
    return False
