"""Questions of a request, each with what becomes of its answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evolution.cgp.protocol import Question

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Inquiry:
    """Questions that are asked together."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self._receivers: list[Callable[[float], None]] = []
        self._unanswerable: list[Callable[[float], None]] = []

    def ask(
        self,
        receive: Callable[[float], None],
        texts: tuple[str, ...] | None,
        *,
        index: int | None,
        n_trials: int | None = None,
        bound: float | None = None,
    ) -> None:
        """Add a question.

        Parameters
        ----------
        receive : callable
            Takes the answer.
        texts : tuple of str or None
            Expressions of the rule; if it exceeds the limits of the language, which is None, the
            answer is minus infinity and nobody is asked.
        index, n_trials, bound
            As in :class:`~evolution.cgp.protocol.Question`.
        """
        if texts is None:
            self._unanswerable.append(receive)
            return
        self.questions.append(Question(len(self.questions), index, texts, n_trials, bound))
        self._receivers.append(receive)

    def answer(self, answers: Mapping[int, float]) -> None:
        """Pass the answers on, by the keys of their questions."""
        for key, receive in enumerate(self._receivers):
            receive(answers[key])
        for receive in self._unanswerable:
            receive(-math.inf)
