"""Readers of environment variables that refuse what they do not understand."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_RATE_UNITS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

# WAL lets readers work while a worker writes. IMMEDIATE takes the write lock at the start of a
# transaction: with SQLite's default a transaction that first reads and then writes fails at once
# with "database is locked" when another process committed in between, whatever the timeout.
_SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; "
        "PRAGMA cache_size=-16000; PRAGMA mmap_size=134217728; PRAGMA journal_size_limit=27103364;"
    ),
}
_POSTGRESQL_OPTIONS = {
    # The pool doubles its pauses while the server is away, for five minutes if it may. It gives up
    # before those do who wait for a connection: when they ask again it begins anew.
    "pool": {"min_size": 1, "max_size": 8, "timeout": 10, "reconnect_timeout": 8},
    # A host that is cut off answers nothing; the default is two minutes.
    "connect_timeout": 5,
    # A page asks the same questions as the last one of its kind: the server plans them once for
    # each connection, not each time, which spares a quarter of its processor time.
    "server_side_binding": True,
    "prepare_threshold": 5,
    # A host that is cut off closes no connection. Without these the server would keep the locks of
    # its last transaction for hours, and the host would wait as long for an answer.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "options": "-c idle_in_transaction_session_timeout=30s -c tcp_keepalives_idle=10 "
    "-c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}


def read_bool(name: str, *, default: bool) -> bool:
    """Return the switch ``name``: 1, true, yes, on or 0, false, no, off."""
    text = os.environ.get(name, "").strip().lower()
    if not text:
        return default
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ImproperlyConfigured(f"{name} is {text!r}; it must be 1 or 0 (or true/false, yes/no).")


def read_choice(name: str, choices: Sequence[str]) -> str:
    """Return the one of ``choices`` that ``name`` holds, by default the first."""
    text = os.environ.get(name, "").strip()
    for choice in choices:
        if text.lower() == choice.lower():
            return choice
    if text:
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be one of: {', '.join(choices)}.")
    return choices[0]


def read_token(name: str) -> str:
    """Return the secret ``name``, empty if there is none."""
    token = os.environ.get(name, "").strip()
    if token and (len(token) < 16 or not token.isascii()):
        raise ImproperlyConfigured(f"{name} must have at least 16 characters, all of them ASCII.")
    return token


def read_number(name: str, *, default: int, smallest: int, largest: int) -> int:
    """Return the whole number ``name``, which has bounds."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or not smallest <= int(text) <= largest:
        raise ImproperlyConfigured(
            f"{name} is {text!r}; it must be a whole number from {smallest} to {largest}."
        )
    return int(text)


def read_rate(name: str, *, default: str) -> tuple[int, int] | None:
    """Return the rate ``name``, such as 60/minute, as a number and a time in s; None for 0."""
    text = os.environ.get(name, "").strip().lower() or default
    number, _, unit = text.partition("/")
    if text == "0":
        return None
    if (
        not number.isascii()
        or not number.isdecimal()
        or unit not in _RATE_UNITS_S
        or not int(number)
    ):
        units = ", ".join(_RATE_UNITS_S)
        raise ImproperlyConfigured(
            f"{name} is {text!r}; it must read like 60/minute (units: {units}), or 0 for no limit."
        )
    return int(number), _RATE_UNITS_S[unit]


def read_oidc() -> dict[str, str] | None:
    """Return issuer, client and role of ``E2L_OIDC_*``, None where they are not set.

    ``E2L_OIDC_ISSUER`` is the address below which ``.well-known/openid-configuration`` is found.
    """
    names = {
        "issuer": "E2L_OIDC_ISSUER",
        "client_id": "E2L_OIDC_CLIENT_ID",
        "client_secret": "E2L_OIDC_CLIENT_SECRET",
    }
    values = {key: os.environ.get(name, "").strip() for key, name in names.items()}
    if not any(values.values()):
        return None
    missing = [name for key, name in names.items() if not values[key]]
    if missing:
        raise ImproperlyConfigured(f"Sign-in by OpenID Connect also needs {', '.join(missing)}.")
    parts = urlsplit(values["issuer"])
    is_local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        raise ImproperlyConfigured("E2L_OIDC_ISSUER must begin with https://.")
    values["origin"] = f"{parts.scheme}://{parts.netloc}"
    values["name"] = os.environ.get("E2L_OIDC_NAME", "").strip() or parts.hostname or ""
    values["role"] = read_choice("E2L_OIDC_ROLE", ("viewer", "member"))
    return values


def read_list(name: str, *, default: Sequence[str] = ()) -> list[str]:
    """Return the comma-separated values of ``name``."""
    text = os.environ.get(name, "").strip()
    return [item.strip() for item in text.split(",") if item.strip()] if text else list(default)


def read_origins(name: str) -> list[str]:
    """Return the comma-separated origins of ``name``, such as ``https://lab.example.org``."""
    origins = read_list(name)
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path:
            raise ImproperlyConfigured(
                f"{name} has {origin!r}; an origin reads like https://lab.example.org "
                "(scheme, host and, if needed, port, without a slash at the end)."
            )
    return origins


def read_redis_url(url: str) -> str:
    """Return ``url`` if Celery and the channel layer both understand it."""
    if urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
        raise ImproperlyConfigured(
            "REDIS_URL must begin with redis://, rediss:// or unix://, "
            "for example redis://localhost:6379/0."
        )
    return url


def read_database(default_path: Path, test_path: Path) -> dict[str, Any]:
    """Return Django's settings of the database in ``DATABASE_URL``, else SQLite.

    Parameters
    ----------
    default_path : Path
        SQLite file that is used when ``DATABASE_URL`` is not set.
    test_path : Path
        SQLite file for tests: a file, so that a server in another process sees it.
    """
    url = os.environ.get("DATABASE_URL", "").strip()
    if not url:
        database: dict[str, Any] = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(default_path),
        }
    else:
        # The URL holds a password: messages name the variable and the scheme, never the URL.
        scheme = urlsplit(url).scheme
        if scheme not in {"sqlite", "postgres", "postgresql"}:
            raise ImproperlyConfigured(
                f"DATABASE_URL begins with {scheme!r}; it must be postgresql:// or sqlite:///."
            )
        database = dict(environ.Env.db_url_config(url))
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = {**_SQLITE_OPTIONS, **database.get("OPTIONS", {})}
        database["TEST"] = {"NAME": str(test_path)}
    else:
        database["OPTIONS"] = {**_POSTGRESQL_OPTIONS, **database.get("OPTIONS", {})}
        # Else the pool hands out connections that a restart of the server has cut.
        database["CONN_HEALTH_CHECKS"] = True
    return database


def read_secret_key(path: Path) -> str:
    """Return ``E2L_SECRET_KEY``, else the key in ``path``, which is made on first use."""
    configured = os.environ.get("E2L_SECRET_KEY", "").strip()
    if configured:
        if len(configured) < 32:
            raise ImproperlyConfigured("E2L_SECRET_KEY must have at least 32 characters.")
        return configured
    if not path.exists():
        _create_secret_key(path)
    key = path.read_text(encoding="ascii").strip()
    if len(key) < 32:
        raise ImproperlyConfigured(f"{path} holds no usable key; delete it to have a new one made.")
    return key


def _create_secret_key(path: Path) -> None:
    # Web and workers may start at the same moment: each writes a file of its own and links it to
    # the final name, which succeeds for exactly one; all then read the winner's complete file.
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(64) + "\n")
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
