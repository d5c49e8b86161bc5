"""Fuzzing of the language of rules: ``python -m tests.fuzz_rules --inputs 1000000``.

Texts are made by the grammar, by mutation of such texts, from the odd corners of Unicode and
from raw bytes. Each goes the whole way of a text that somebody types: parsing, canonical form,
fingerprint, markup; of those that are accepted every fourth is compiled, and its values are
compared with those of the slow reference, bit by bit. Found are

* any exception but `RuleSyntaxError`, and any end of the process;
* a text that takes longer than 50 ms of CPU time, each of several times; compilation is not
  counted: machine code is made of accepted rules, by workers, and its time is bounded for itself;
* machine code that differs from the reference, and forms that do not read back;
* memory that grows.

The texts depend on the seed only. A child process does the work and leaves the text in hand in
shared memory, so that a crash or a hang has a name.
"""

from __future__ import annotations

import argparse
import gc
import json
import mmap
import multiprocessing
import random
import resource
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nest_build.rules import Arithmetic, RuleSyntaxError, compile_rule, parse
from nest_build.rules.canonical import canonical as canonical_form
from nest_build.rules.equivalence import fingerprint
from nest_build.rules.language import _parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INPUTS = ("v", "u", "s")
LIMIT_S = 0.05
COMPILE_LIMIT_S = 1.0
#: Of the accepted texts every fourth one is compiled: that takes longer than all the rest.
COMPILED_EVERY = 4
#: Time after which a child that does not get on is ended, in s.
HANG_S = 60.0
#: Texts after which caches and allocators have their final size, and the growth allowed from there.
WARM_UP = 100_000
GROWTH_MB = 32.0

_NUMBERS = (
    "0", "1", "2", "3", "10", "64", "65", "100", "0.5", ".5", "5.", "1e3", "1e-3", "1e308",
    "1.8e308", "1e-308", "5e-324", "4.9e-400", "1e400", "0.1", "0.30000000000000004",
    "123456789", "9007199254740993", "1e22", "1e23", "00", "01", "1_000", "0x10", "1j",
    "1.2.3", "1e", "1e+", "999999999999999999999999999999", "2147483648", "-1"
)  # fmt: skip
_NAMES = (*INPUTS, "x_0", "x_1", "x_2", "x_3", "w", "V", "vs", "_", "__class__", "exp", "pi", "nan")
_TOKENS = (
    *"+-*/()",
    "**",
    "//",
    "^",
    "%",
    "=",
    ",",
    ";",
    ":",
    " ",
    "\t",
    "\n",
    "\0",
    ".",
    "_",
    "%",
)
_WORDS = (
    "exp(v)", "v.real", "lambda: v", "v if u else s", "[v]", "f'{v}'", "__import__('os')", "v;u",
    "v=u", "#", "\\", "'", '"', "v@u", "v<u", "not v", "v:=u", "{{v}}", "<b>", "𝑣", "ｖ",
    "v\u200bu", "−v", "v×u", "٣", "²", "\ud800", "\ufeff", "e", "inf", "\r\n",
)  # fmt: skip
_POINTS = np.random.RandomState(1).uniform(-2.0, 2.0, (3, 9))
_POINTS[:, 0] = 0.0
_POINTS[:, 1] = -0.0
_POINTS[:, 2] = 1.0


class Texts:
    """An endless sequence of texts that depends on its seed only."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._kept = ["(v - u)*s", "v**2/(1 + u)", "-s*(u - v)**-1", "0.5*v**u"]

    def __iter__(self) -> Iterator[str]:
        makers: list[tuple[Callable[[], str], float]] = [
            (self._grammatical, 0.06),
            (self._mutated, 0.34),
            (self._tokens, 0.20),
            (self._unicode, 0.20),
            (self._bytes, 0.18),
            (self._large, 0.02),
        ]
        functions, weights = zip(*makers, strict=True)
        while True:
            (make,) = self._draw.choices(functions, weights)
            yield make()

    def _grammatical(self) -> str:
        text = self._expression(self._draw.randrange(1, 6))
        if len(self._kept) < 2000:
            self._kept.append(text)
        else:
            self._kept[self._draw.randrange(2000)] = text
        return text

    def _expression(self, depth: int) -> str:
        draw = self._draw
        if depth <= 0 or draw.random() < 0.15:
            if draw.random() < 0.7:
                return draw.choice(_NAMES[:6])
            return (
                draw.choice(_NUMBERS[:14]) if draw.random() < 0.8 else repr(draw.gauss(0, 2) ** 3)
            )
        kind = draw.random()
        if kind < 0.1:
            return f"-{self._expression(depth - 1)}"
        if kind < 0.2:
            return f"({self._expression(depth - 1)})"
        operator = draw.choices(("+", "-", "*", "/", "**"), (3, 3, 4, 2, 1))[0]
        left, right = self._expression(depth - 1), self._expression(depth - 1)
        space = draw.choice(("", " "))
        return (
            f"({left}{space}{operator}{space}{right})"
            if draw.random() < 0.7
            else f"{left}{operator}{right}"
        )

    def _mutated(self) -> str:
        draw = self._draw
        text = draw.choice(self._kept)
        for _ in range(draw.choice((1, 1, 2, 3))):
            place = draw.randrange(len(text) + 1)
            end = min(len(text), place + draw.randrange(1, 6))
            kind = draw.randrange(7)
            if kind == 0:
                text = text[:place] + text[end:]
            elif kind == 1:
                text = text[:place] + draw.choice(_TOKENS) + text[place:]
            elif kind == 2:
                text = text[:place] + draw.choice(_NUMBERS) + text[end:]
            elif kind == 3:
                text = text[:place] + draw.choice(_NAMES) + text[end:]
            elif kind == 4:
                other = draw.choice(self._kept)
                text = text[:place] + other[draw.randrange(len(other)) :]
            elif kind == 5:
                text = text[:place] + text[place:end] * 2 + text[end:]
            else:
                text = text[:place] + draw.choice(_WORDS) + text[end:]
        return text

    def _tokens(self) -> str:
        every = (*_TOKENS[:8], *_NAMES, *_NUMBERS)
        return "".join(self._draw.choices(every, k=self._draw.randrange(1, 14)))

    def _unicode(self) -> str:
        draw = self._draw
        highest = draw.choice((0x7F, 0xFF, 0x2FFF, 0x10FFFF))
        return "".join(chr(draw.randrange(highest + 1)) for _ in range(draw.randrange(40)))

    def _bytes(self) -> str:
        data = self._draw.randbytes(self._draw.randrange(40))
        encoding, errors = self._draw.choice(
            (
                ("latin-1", "strict"),
                ("utf-8", "replace"),
                ("utf-8", "surrogateescape"),
                ("utf-16", "replace"),
            )
        )
        return data.decode(encoding, errors)

    def _decimals(self, text: str) -> str:
        """Put long fractions in the place of names."""
        return "".join(
            f"({piece}+{self._draw.random()!r})"
            if piece in INPUTS and self._draw.random() < 0.5
            else piece
            for piece in text
        )

    def _large(self) -> str:
        draw = self._draw
        n = int(10 ** draw.uniform(1, 4.2))
        piece = self._expression(2)
        return draw.choice(
            (
                lambda: "(" * n + piece + ")" * n,
                lambda: "-" * n + piece,
                lambda: "-(" * n + piece + ")" * n,
                lambda: "+".join([piece] * n),
                lambda: "*".join(self._expression(1) for _ in range(min(n, 500))),
                lambda: "+".join(self._expression(2) for _ in range(min(n, 300))),
                lambda: "**".join([draw.choice(("v", "2", "3", "0.5"))] * n),
                lambda: "/".join([draw.choice(("v", "u", "3", "7e-9"))] * n),
                lambda: "9" * n,
                lambda: f"0.{'3' * n}",
                lambda: f"v**{'9' * min(n, 400)}",
                lambda: f"({piece})**{draw.choice((64, 65, 1000, 10**6, 10**15))}",
                lambda: f"{draw.choice((2, 3, 0.1))}**{draw.randrange(10**6)}*v",
                lambda: "v" * n,
                lambda: " " * n + "v",
                lambda: self._expression(draw.randrange(6, 10)),
                lambda: self._decimals(self._expression(draw.randrange(5, 10))),
            )
        )()


@dataclass
class Report:
    """What was found, and how long it took."""

    n_inputs: int = 0
    n_accepted: int = 0
    n_compiled: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    slowest: str = ""
    slowest_compile_s: float = 0.0
    compile_s: float = 0.0
    memory_mb: list[tuple[int, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)

    @property
    def growth_mb(self) -> float:
        """Growth of memory after the warm-up."""
        later = [memory for n, memory in self.memory_mb if n >= WARM_UP]
        return max(later) - later[0] if later else 0.0

    def note(self, what: str, text: str) -> None:
        """Note a problem; of each kind the first few."""
        if len(self.problems) < 100:
            self.problems.append(f"{what}: {text[:300]!a} ({len(text)} characters)")


def check(text: str, report: Report) -> None:
    """Put one text through everything."""
    report.n_inputs += 1
    canonical = None
    begin = time.thread_time()
    try:
        canonical = _read(text, report)
    except RuleSyntaxError as error:
        report.refusals[error.message[:12]] += 1  # beyond, it may quote the text
        if error.column is not None and not 1 <= error.column <= len(text) + 1:
            report.note(f"column {error.column} is outside", text)
        if not error.message.strip() or len(error.message) > 400:
            report.note("a message that nobody can read", text)
    except Exception as error:
        report.note(f"{type(error).__name__}: {error}", text)
    seconds = time.thread_time() - begin
    if seconds > LIMIT_S:
        # On a busy machine time stretches, too: what counts is the text's own share of it.
        seconds = min(seconds, *(_read_again(text) for _ in range(4)))
    if seconds > report.slowest_s:
        report.slowest_s, report.slowest = seconds, text[:200]
    if seconds > LIMIT_S:
        report.note(f"took {1e3 * seconds:.0f} ms", text)
    if canonical is not None:
        report.n_accepted += 1
        if report.n_accepted % COMPILED_EVERY == 0:
            report.n_compiled += 1
            _compare(canonical, text, report)


def _read_again(text: str) -> float:
    """Return the CPU time of a text that no cache knows, in s."""
    for cache in (_parse, canonical_form, fingerprint):
        cache.cache_clear()
    begin = time.thread_time()
    with suppress(Exception):
        _read(text, Report())
    return time.thread_time() - begin


def _read(text: str, report: Report) -> Any:
    expression = parse(text, INPUTS)
    if str(parse(str(expression), INPUTS)) != str(expression):
        report.note("does not read back", text)
    canonical = expression.canonical()
    again = parse(str(canonical), INPUTS)
    if again != canonical:
        report.note("canonical form does not read back", text)
    if again.fingerprint() != expression.fingerprint():
        report.note("canonical form has another fingerprint", text)
    if not 1 <= expression.complexity() <= 2 * 2000:
        report.note("complexity", text)
    if "<script" in expression.mathml() or not expression.latex():
        report.note("markup", text)
    return canonical


def _compare(canonical: Any, text: str, report: Report) -> None:
    arithmetic = Arithmetic.ZERO_PRODUCTS if report.n_compiled % 4 == 0 else Arithmetic.IEEE
    begin = time.thread_time()
    try:
        compiled = compile_rule(canonical, arithmetic=arithmetic)
        seconds = time.thread_time() - begin
        values = compiled(*_POINTS)
        reference = canonical.evaluate(*_POINTS, arithmetic=arithmetic)
    except Exception as error:
        report.note(f"accepted, then {type(error).__name__}: {error}", text)
        return
    report.compile_s += seconds
    report.slowest_compile_s = max(report.slowest_compile_s, seconds)
    if seconds > COMPILE_LIMIT_S:
        report.note(f"compilation took {1e3 * seconds:.0f} ms", text)
    same = (values.view(np.int64) == reference.view(np.int64)) | (
        np.isnan(values) & np.isnan(reference)
    )
    if not same.all():
        report.note("machine code differs from the reference", text)


def fuzz(n_inputs: int, seed: int, *, in_hand: mmap.mmap | None = None) -> Report:
    """Check texts in this process."""
    report = Report()
    _read("v + u/s", report)  # loads what is loaded on first use
    _compare(parse("v + u/s", INPUTS), "v + u/s", report)
    gc.collect()
    gc.freeze()
    begin = time.perf_counter()
    for number, text in zip(range(1, n_inputs + 1), Texts(seed), strict=False):
        if in_hand is not None:
            _leave(in_hand, text)
        check(text, report)
        if number % 10_000 == 0:
            report.memory_mb.append((number, _memory_mb()))
            if in_hand is not None:
                _say(report)
    report.seconds = time.perf_counter() - begin
    if report.growth_mb > GROWTH_MB:
        report.problems.append(f"memory grew by {report.growth_mb:.0f} MB")
    return report


def _say(report: Report) -> None:
    sys.stderr.write(
        f"  {report.n_inputs}: {report.n_accepted} accepted, {len(report.problems)} problems, "
        f"{_memory_mb():.0f} MB\n"
    )


def _memory_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def _leave(in_hand: mmap.mmap, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")[: len(in_hand) - 4]
    in_hand[4 : 4 + len(data)] = data
    in_hand[:4] = len(data).to_bytes(4, "little")


def _work(n_inputs: int, seed: int, in_hand: mmap.mmap, answer: Any) -> None:
    answer.send(vars(fuzz(n_inputs, seed, in_hand=in_hand)))


def _supervise(n_inputs: int, seed: int) -> tuple[dict[str, Any] | None, str]:
    """Return the report of a child, or None and the text that ended it."""
    context = multiprocessing.get_context("fork")
    in_hand = mmap.mmap(-1, 100_000)
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(n_inputs, seed, in_hand, sender))
    child.start()
    sender.close()
    last, since = b"", time.monotonic()
    while not receiver.poll(1.0):
        now = in_hand[:4096]
        if now != last:
            last, since = now, time.monotonic()
        if not child.is_alive() or time.monotonic() - since > HANG_S:
            break
    report = None
    if receiver.poll(0):
        try:
            report = receiver.recv()
        except EOFError:
            report = None
    child.kill()
    child.join()
    size = int.from_bytes(in_hand[:4], "little")
    return report, in_hand[4 : 4 + size].decode("utf-8", "replace")


def main() -> int:
    """Read the command line, fuzz, print what was found; 1 if anything was."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_rules", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report, last = _supervise(options.inputs, options.seed)
    if report is None:
        print(f"The process crashed or hung at {last!a}")  # noqa: T201
        return 1
    report["refusals"] = dict(report["refusals"].most_common(12))
    report["memory_mb"] = report["memory_mb"][:: max(1, len(report["memory_mb"]) // 20)]
    print(json.dumps(report, indent=1, ensure_ascii=True))  # noqa: T201
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
