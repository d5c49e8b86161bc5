"""Questions of many connections to the database, which one thread answers together."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from evolution.together import Together, Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.django_db(transaction=True)


class Squares:
    """Answers with squares; the thread waits before an answer for as long as it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.has_begun = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.failure: Exception | None = None

    def __call__(self, questions: Sequence[int]) -> dict[int, int]:
        self.asked.append(list(questions))
        self.has_begun.release()
        assert self.may_answer.wait(10)
        if self.failure is not None:
            raise self.failure
        return {number: number**2 for number in questions if number >= 0}

    async def begins(self) -> None:
        assert await asyncio.to_thread(self.has_begun.acquire, timeout=10)


@pytest.fixture
def squares() -> Iterator[Squares]:
    squares = Squares()
    yield squares
    squares.may_answer.set()


def asking(together: Together[int, int], *numbers: int) -> list[asyncio.Task[int | None]]:
    return [asyncio.create_task(together.ask(number)) for number in numbers]


@pytest.mark.asyncio
async def test_what_waits_is_answered_at_once(squares: Squares) -> None:
    together = Together(squares)
    first = asking(together, 2)
    await squares.begins()
    # The same question is asked again: what is looked for already may be too old an answer.
    others = asking(together, 3, 2, 3, 4)
    await asyncio.sleep(0.05)
    squares.may_answer.set()
    assert await asyncio.gather(*first, *others) == [4, 9, 4, 9, 16]
    assert squares.asked == [[2], [3, 2, 4]]


@pytest.mark.asyncio
async def test_a_question_without_an_answer(squares: Squares) -> None:
    squares.may_answer.set()
    assert await asyncio.gather(*asking(Together(squares), -1, 5)) == [None, 25]


@pytest.mark.asyncio
async def test_who_has_gone_is_not_answered(squares: Squares) -> None:
    together = Together(squares)
    first = asking(together, 1)
    await squares.begins()
    gone, still_there = asking(together, 2, 3)
    await asyncio.sleep(0.05)
    gone.cancel()
    await asyncio.sleep(0)
    squares.may_answer.set()
    assert await asyncio.gather(*first, still_there) == [1, 9]
    assert squares.asked == [[1], [3]]


@pytest.mark.asyncio
async def test_a_failure_is_everybodys_and_passes(squares: Squares) -> None:
    together = Together(squares)
    squares.failure = RuntimeError("the database is away")
    squares.may_answer.set()
    found = await asyncio.gather(*asking(together, 1, 2, 1), return_exceptions=True)
    assert [type(error) for error in found] == [Unanswered] * 3
    assert {str(error) for error in found} == {"the database is away"}
    assert all(error.__cause__ is squares.failure for error in found)
    squares.failure = None
    assert await together.ask(3) == 9


def test_each_event_loop_has_its_answers(squares: Squares) -> None:
    """A loop that has been closed leaves nothing behind that others would wait for."""
    together = Together(squares)

    async def leave() -> None:
        asking(together, 1)
        await squares.begins()
        asking(together, 2)
        await asyncio.sleep(0.05)

    asyncio.run(leave())
    squares.may_answer.set()
    for number in (3, 4):
        assert asyncio.run(asyncio.wait_for(together.ask(number), 10)) == number**2


@pytest.mark.asyncio
async def test_nobody_is_forgotten(squares: Squares) -> None:
    together = Together(squares)
    squares.may_answer.set()

    async def ask(start: int) -> None:
        for number in range(start, start + 200):
            assert await asyncio.wait_for(together.ask(number % 17), 10) == (number % 17) ** 2
            if number % 7 == 0:
                await asyncio.sleep(0)

    await asyncio.gather(*map(ask, range(30)))
    # Together is much less often than one by one.
    assert len(squares.asked) < 30 * 200 / 5
