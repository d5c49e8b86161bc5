"""Texts that are written once for the same facts: to know these takes less than to write it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from django.core.cache import cache

if TYPE_CHECKING:
    from collections.abc import Callable

#: How long a text is kept in memory, in s.
KEPT_S = 600


def digest(facts: Any) -> str:
    """Return what tells facts from others."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def written(kind: str, facts: Any, write: Callable[[], str]) -> str:
    """Return the text of some facts; write it where it is not at hand.

    Parameters
    ----------
    kind : str
        What kind of text it is.
    facts : Any
        Everything that the text depends on, with a ``repr`` that says all of it.
    write : callable
    """
    return cache.get_or_set(f"{kind}-{digest(facts)}", write, KEPT_S)
