"""From the text of a rule to its machine code (parse, canonical form, LLVM, both functions) in a
process that has compiled before. Each text is new to the process: variants differ in a constant, so
that no cache answers. The rules are the published champions of the error-driven learning task."""

from __future__ import annotations

import itertools
import statistics
import time
from typing import TYPE_CHECKING

from nest_build.rules import compile_rule, parse
from tests.bench import ERROR_DRIVEN_CHAMPIONS, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Compiling a rule"
INPUTS = ("v", "u", "s")
BOUND_MS = 2.0
REPETITIONS = 20


def rows() -> Iterator[Row]:
    """Measure each champion, and the median of all."""
    numbers = itertools.count(3)
    medians = []

    def compile_variant(text: str) -> float:
        started = time.perf_counter()
        compile_rule(parse(f"{next(numbers)}*({text})", INPUTS).canonical(), uniform=("v",))
        return 1e3 * (time.perf_counter() - started)

    cold_ms = compile_variant(ERROR_DRIVEN_CHAMPIONS[0])
    yield Row("the first rule of a process", cold_ms, "ms")
    for text in ERROR_DRIVEN_CHAMPIONS:
        medians.append(statistics.median(compile_variant(text) for _ in range(REPETITIONS)))
        yield Row(f"`{text}`, median", medians[-1], "ms")
    yield Row("median of the champions", statistics.median(medians), "ms", bound=BOUND_MS)
