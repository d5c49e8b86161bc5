"""Questions of many live pages to the database, which one thread answers together.

When a process is busy a statement takes long: its thread has to wait for its turn after each. Pages
that connect again after an outage, all at once, would wait for one another for minutes. Here those
that wait are answered with the same few statements, and who has gone meanwhile is not answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

from django.db import Error, close_old_connections

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from typing import TypeAlias

Q = TypeVar("Q", bound="Hashable")
A = TypeVar("A")

if TYPE_CHECKING:
    Outcome: TypeAlias = tuple[A | None, Exception | None]
    Waiting: TypeAlias = deque[tuple[Q, asyncio.Future[Outcome[A]]]]

#: One for all, with one connection to the database.
_thread = ThreadPoolExecutor(1, thread_name_prefix="live-pages")


class Unanswered(RuntimeError):
    """What was asked could not be looked for; the cause is that of all who asked at the time."""


class Together(Generic[Q, A]):
    """Answers what is asked from event loops, all that waits at once.

    Parameters
    ----------
    answer : callable
        Called in the thread with different questions; returns the answers by question. What it
        leaves out has none.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Mapping[Q, A]]) -> None:
        self._answer = answer
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, Waiting[Q, A]] = (
            WeakKeyDictionary()
        )

    async def ask(self, question: Q) -> A | None:
        """Return an answer that was looked for after this was called; None if there is none.

        Raises
        ------
        Unanswered
            If the looking for it and others has failed.
        """
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(loop, deque())
        answer: asyncio.Future[Outcome[A]] = loop.create_future()
        waiting.append((question, answer))
        # Who comes while others wait already is answered with them.
        if len(waiting) == 1:
            _thread.submit(self._answer_all, loop, waiting)
        found, failure = await answer
        if failure is not None:
            raise Unanswered(str(failure)) from failure
        return found

    def _answer_all(self, loop: asyncio.AbstractEventLoop, waiting: Waiting[Q, A]) -> None:
        asked = [waiting.popleft() for _ in range(len(waiting))]
        asked = [(question, answer) for question, answer in asked if not answer.done()]
        answers: Mapping[Q, A] = {}
        failure: Exception | None = None
        try:
            close_old_connections()
            if asked:
                answers = self._answer(list(dict.fromkeys(question for question, _ in asked)))
        except Exception as error:
            failure = error
        with suppress(Error):
            close_old_connections()

        def hand_over() -> None:
            for question, answer in asked:
                if not answer.done():
                    answer.set_result((answers.get(question), failure))

        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(hand_over)
