"""What the work at hand belongs to: ids that every line of the log then carries.

A context variable: it goes with a request, a task or a slice of work, not with the process.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ids: ContextVar[Mapping[str, str | int]] = ContextVar("ids", default={})  # noqa: B039  (never changed)


def current() -> Mapping[str, str | int]:
    """Return the ids by their names, such as ``request``, ``user``, ``task``, ``experiment``."""
    return _ids.get()


@contextmanager
def bound(**ids: str | int | None) -> Iterator[None]:
    """Add ids to those that are current, as long as the block runs; None leaves one out."""
    known = {name: value for name, value in ids.items() if value is not None}
    token = _ids.set({**_ids.get(), **known})
    try:
        yield
    finally:
        _ids.reset(token)


def add(**ids: str | int) -> None:
    """Add ids until the block that binds others ends."""
    _ids.set({**_ids.get(), **ids})


def begin(**ids: str | int | None) -> None:
    """Forget all ids and start with these; for threads that do one thing after the other."""
    _ids.set({name: value for name, value in ids.items() if value is not None})
