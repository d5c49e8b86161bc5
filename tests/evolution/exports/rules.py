"""Rules to export, and what they mean."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from evolution.models import Rule
from nest_build.rules import parse
from nest_build.rules.tree import render
from tests.nest_build.rules.strategies import trees

CONTINUOUS = "v,u,s -> delta_w"
REWARD = "R,E -> delta_w"
PAIRS = "w,E -> depress,facilitate"

#: One rule that learns, for each kind of inputs.
LEARNERS = {CONTINUOUS: ["(v - u)*s"], REWARD: ["E*(R - 1)"], PAIRS: ["w*E", "(1 - w)*E"]}

NAMES = ("v", "u", "s")
POINTS = np.random.default_rng(5).uniform(-2.0, 2.0, (3, 25))
#: Written with care: signs, divisions, powers that group from the right or leave the reals.
WRITTEN = [
    "-v**2",
    "(-v)**2",
    "v - (u - s)",
    "v/(u/s)",
    "v/(u*s)",
    "-(v + u)*s",
    "v*(-u)",
    "v**2**0.5",
    "(v - u)**0.5",
    "v**(-2)",
    "1/3*v",
    "2*(u - 1)",
    "-(-v)",
    "1e-05*v + 2e+20",
    "v**s*u",
    "2**v - 0.1**u",
]


def rule_of(*texts: str, signature: str = "") -> Rule:
    """Return a rule that is in no database, by default of the inputs `NAMES`."""
    branches = ",".join(f"f{index}" for index in range(len(texts)))
    return Rule(
        signature=signature or f"{','.join(NAMES)} -> {branches}",
        expressions=list(texts),
        fingerprint="0123456789abcdef" * 2,
    )


def check(texts: list[str], found: np.ndarray, rtol: float = 1e-6) -> None:
    """Compare values at `POINTS` with the language's own where these are ordinary numbers."""
    n_compared = 0
    for text, values in zip(texts, found, strict=True):
        expected = parse(text, NAMES).evaluate(*POINTS)
        ordinary = np.isfinite(expected) & (np.abs(expected) < 1e12)
        n_compared += ordinary.sum()
        np.testing.assert_allclose(
            values[ordinary], expected[ordinary], rtol=rtol, atol=1e-9, err_msg=text
        )
    assert n_compared > 5 * len(texts)


#: Texts of many random rules at once, where trying a rule has its price.
many_texts = st.lists(trees().map(lambda tree: render(tree, NAMES)), min_size=40, max_size=40)
