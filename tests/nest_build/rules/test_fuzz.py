"""A slice of the fuzzing of the language; all of it is ``python -m tests.fuzz_rules``."""

import time

import pytest

from nest_build.rules import parse
from tests import fuzz_rules
from tests.fuzz_rules import Report, Texts, check, fuzz

INPUTS = ("v", "u", "s")


def test_five_thousand_texts_find_nothing():
    report = fuzz(5000, seed=11)
    # How long a text takes is left to the command: here the machine may be busy with other tests.
    problems = [problem for problem in report.problems if not problem.startswith("took ")]
    assert problems == []
    assert report.n_inputs == 5000
    assert report.n_accepted > 300
    assert report.n_compiled > 75


def test_the_texts_depend_on_the_seed_only():
    def first(seed: int) -> list[str]:
        return [text for text, _ in zip(Texts(seed), range(200), strict=False)]

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_a_crash_and_a_slow_text_would_be_found(monkeypatch):
    def broken(text: str, report: Report) -> None:
        if text == "v":
            raise KeyError("v")
        end = time.thread_time() + 2 * fuzz_rules.LIMIT_S
        while time.thread_time() < end:
            pass

    monkeypatch.setattr(fuzz_rules, "_read", broken)
    report = Report()
    check("v", report)
    check("u", report)
    assert [problem.partition(":")[0] for problem in report.problems] == [
        "KeyError",
        report.problems[1].partition(":")[0],
    ]
    assert report.problems[1].startswith("took ")


@pytest.mark.parametrize(
    "text",
    [
        "3.0124**58606643087e-05",
        "(3*v)**100000000000.5",
        "(v/3)**-100000000000.5",
        "(2**0.5)**100000001",
        "(2**0.5*v)**100000001",
    ],
)
def test_powers_with_huge_exponents_stay_as_they_are_written(text):
    expression = parse(text, INPUTS)
    assert expression.canonical() == expression


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("8**1.5", "8*8**0.5"), ("(4*v)**0.5", "2*v**0.5"), ("1**100000000.5", "1")],
)
def test_small_roots_are_still_simplified(text, canonical):
    assert str(parse(text, INPUTS).canonical()) == canonical
