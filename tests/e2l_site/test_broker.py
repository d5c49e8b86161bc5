"""Which server is used, as its three kinds of clients name it."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2l_site import broker


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REDIS_URL", "E2L_VALKEY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("E2L_DATA_DIR", str(tmp_path))
    return tmp_path


def test_private_server_is_the_default(data_dir: Path) -> None:
    socket_path = broker.default_socket_path(data_dir)
    assert broker.is_private()
    assert broker.redis_url() == f"unix://{socket_path}?db=0"
    assert broker.broker_url() == f"redis+socket://{socket_path}?virtual_host=0"


def test_two_data_directories_have_two_servers(data_dir: Path) -> None:
    other = broker.default_socket_path(data_dir / "other")
    assert broker.default_socket_path(data_dir) != other


def test_default_path_is_short_however_deep_the_data(data_dir: Path) -> None:
    deep = data_dir / "/".join(["directory"] * 30)
    assert len(str(broker.default_socket_path(deep))) <= broker.MAX_SOCKET_PATH_BYTES


def test_note_of_the_launcher_wins_over_the_default(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.socket_record(data_dir).parent.mkdir()
    broker.socket_record(data_dir).write_text("/run/noted.sock\n")
    assert broker.socket_path() == Path("/run/noted.sock")
    monkeypatch.setenv("E2L_VALKEY_SOCKET", "/run/set.sock")
    assert broker.socket_path() == Path("/run/set.sock")


@pytest.mark.parametrize(
    ("url", "celery_url"),
    [
        ("redis://db.example.org:6379/3", "redis://db.example.org:6379/3"),
        ("rediss://:secret@db.example.org/0", "rediss://:secret@db.example.org/0"),
        ("unix:///run/redis.sock?db=4", "redis+socket:///run/redis.sock?virtual_host=4"),
        ("unix://:pw@/run/redis.sock", "redis+socket://:pw@/run/redis.sock?virtual_host=0"),
    ],
)
def test_redis_url_selects_a_real_server(
    url: str, celery_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    assert not broker.is_private()
    assert broker.redis_url() == url
    assert broker.broker_url() == celery_url
