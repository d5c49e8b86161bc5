"""How the children of a worker learn that it was told to end: they finish the trial they are in.

A byte of memory that a worker shares with its children: unlike a lock it cannot be left behind by
a child that is killed.
"""

from __future__ import annotations

import mmap

_memory: mmap.mmap | None = None


def prepare() -> None:
    """Make the memory; to be called before the children are born."""
    global _memory  # noqa: PLW0603  (a fact about the process and its children)
    _memory = mmap.mmap(-1, 1)


def begin() -> None:
    """Tell all children to end after the trial they are in."""
    if _memory is not None:
        _memory[0] = 1


def has_begun() -> bool:
    """Return whether this worker was told to end."""
    return _memory is not None and _memory[0] == 1
