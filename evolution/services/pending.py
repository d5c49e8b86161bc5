"""What a run remembers between a request of its engine and the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Pending:
    """Questions that wait for their answers, and who was born with them; kept in the run as JSON.

    Rules are named by their keys, None for genomes that encode no rule.

    Attributes
    ----------
    questions : list of (int, str or None)
        Key and rule of each question, in the request's order; None if nothing has been asked.
    cached : list of str
        Rules of the questions that somebody had asked for before.
    parents : dict of str to str
        Rule by index of the parents; JSON has text as keys.
    born : dict of str to (str or None)
        Rule by index of all individuals of the pending generation.
    earlier : list of dict
        The individuals of the pending generation that were born with an earlier request.
    outcomes : dict of str to str
        Outcome by index, as far as it has been judged.
    """

    questions: list[tuple[int, str | None]] | None = None
    cached: list[str] = field(default_factory=list)
    parents: dict[str, str | None] = field(default_factory=dict)
    born: dict[str, str | None] = field(default_factory=dict)
    earlier: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    n_evaluations: int = 0
    n_cached: int = 0
    n_pruned: int = 0
    simulated_s: float = 0.0
    saved_s: float = 0.0
