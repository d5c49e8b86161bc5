"""Fixtures that several parts share: real servers, and the browser that is installed."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest

from e2l_site.locations import PROJECT_ROOT
from tests.broker import private_broker
from tests.system_packages import find_chromium

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_configure() -> None:
    """Create the directory of static files, for want of which every process warns."""
    (PROJECT_ROOT / "staticfiles").mkdir(exist_ok=True)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a private Valkey for this session; yields its URL in the form of ``REDIS_URL``."""
    with private_broker(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Create a database on the machine's PostgreSQL, yield its URL and drop it at the end."""
    import psycopg

    failure: Exception | None = None
    for user in ("root", "postgres"):
        server = f"postgresql://{user}@127.0.0.1:5432"
        try:
            connection = psycopg.connect(f"{server}/postgres", connect_timeout=3, autocommit=True)
        except psycopg.OperationalError as error:
            failure = error
            continue
        name = f"e2l_test_{secrets.token_hex(6)}"
        with connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{server}/{name}"
        finally:
            with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        return
    pytest.skip(f"no PostgreSQL at 127.0.0.1:5432 that lets us in: {str(failure).splitlines()[0]}")


@pytest.fixture(scope="session")
def system_redis_url() -> Iterator[str]:
    """Yield the URL of an empty database of the machine's Redis; it is emptied at the end."""
    import redis

    for number in range(15, 0, -1):
        url = f"redis://127.0.0.1:6379/{number}"
        client = redis.Redis.from_url(url, socket_connect_timeout=2)
        try:
            if client.dbsize():
                continue
            # Claims the number, so that a second session takes another one.
            if not client.set("e2l-tests", os.getpid(), nx=True):
                continue
        except redis.RedisError as error:
            pytest.skip(f"no Redis at 127.0.0.1:6379: {error}")
        try:
            yield url
        finally:
            client.flushdb()
            client.close()
        return
    pytest.skip("every database of the Redis at 127.0.0.1:6379 is in use")


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """Return the Chromium or Chrome to drive."""
    found = find_chromium()
    if found is None:
        pytest.skip("no Chromium or Chrome is installed: apt install chromium")
    return found
