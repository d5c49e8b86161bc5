"""How a worker and its children tell each other that it is to end, to rest or to start anew.

A few bytes of memory that a worker shares with its children: unlike a lock they cannot be left
behind by a child that is killed. The children read what operators ask for in the database, with
which the worker itself, from which they are forked, has no connection.
"""

from __future__ import annotations

import mmap
import struct

_ENDING, _DRAINED, _RESTART = range(3)
#: Where it stands how many restarts had been asked for when the worker started, plus one.
_KNOWN = struct.Struct("<Q")
_KNOWN_AT = 8

_memory: mmap.mmap | None = None


def prepare() -> None:
    """Make the memory; to be called before the children are born."""
    global _memory  # noqa: PLW0603  (a fact about the process and its children)
    _memory = mmap.mmap(-1, _KNOWN_AT + _KNOWN.size)


def begin() -> None:
    """Tell all children to end after the trial they are in."""
    if _memory is not None:
        _memory[_ENDING] = 1


def has_begun() -> bool:
    """Return whether this worker was told to end."""
    return _memory is not None and _memory[_ENDING] == 1


def pass_on(*, is_drained: bool, n_restarts: int) -> None:
    """Tell the worker, from a child, what is asked of it.

    Parameters
    ----------
    n_restarts : int
        Restarts that were asked for so far. Those from before the worker started are not for it.
    """
    if _memory is None:
        return
    _memory[_DRAINED] = is_drained
    (known,) = _KNOWN.unpack_from(_memory, _KNOWN_AT)
    if known == 0:
        _KNOWN.pack_into(_memory, _KNOWN_AT, n_restarts + 1)
    elif n_restarts + 1 > known:
        _memory[_RESTART] = 1


def is_drained() -> bool:
    """Return whether this worker is to take no more work."""
    return _memory is not None and _memory[_DRAINED] == 1


def is_to_restart() -> bool:
    """Return whether this worker is to start anew."""
    return _memory is not None and _memory[_RESTART] == 1
