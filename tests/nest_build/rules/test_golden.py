"""Values of the authors' rule evaluation (SymEngine), see the golden data's own description.

Compared are the points on which the value is well defined in double precision. The tolerance is
four times the bound of the rounding error, computed with the value. Left out are

* texts outside the language (exp, log, zoo, oo) and points on which the authors' code fails;
* singular points (a division by zero, sizes beyond 1e100 or under 1e-100): the authors substitute
  inputs one after the other into a symbolic expression, so that 0/x is 0 before x = 0 is seen;
* powers whose base is a negative number up to rounding only, where the branch is arbitrary;
* inputs that are not finite.
"""

from pathlib import Path

import numpy as np
import pytest

from nest_build.rules import RuleSyntaxError, compile_rule, parse
from tests.nest_build.rules.bounds import LARGEST, SMALLEST, evaluate_with_bounds

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden" / "rule_evaluation.npz"
FINITE, INFINITE, NOT_A_NUMBER, EXCEPTION = range(4)

pytestmark = pytest.mark.skipif(not GOLDEN.exists(), reason=f"no golden data at {GOLDEN}")


def golden_cases(n_inputs):
    """Expression, arguments, values and codes of every expression of the language."""
    names = [f"x_{index}" for index in range(n_inputs)]
    with np.load(GOLDEN) as data:
        arguments = data[f"args{n_inputs}"].T
        rows = zip(*(data[f"{key}{n_inputs}"] for key in ("expr", "values", "code")), strict=True)
        for text, values, codes in rows:
            try:
                expression = parse(str(text), names)
            except RuleSyntaxError:
                assert str(text) in ("zoo", "oo", "exp(x_0)", "log(x_0)")
                continue
            yield expression, arguments, values, codes


@pytest.mark.parametrize("form", ["as written", "canonical"])
@pytest.mark.parametrize("n_inputs", [2, 3])
def test_golden_values_are_met(n_inputs, form):
    compared = finite = 0
    for written, arguments, values, codes in golden_cases(n_inputs):
        expression = written.canonical() if form == "canonical" else written
        result = compile_rule(expression)(*arguments)
        sizes = np.abs(arguments)
        moderate = ((arguments == 0) | ((sizes > SMALLEST) & (sizes < LARGEST))).all(axis=0)
        error = evaluate_with_bounds(expression.tree, arguments)[1]
        regular = moderate & np.isfinite(error) & (codes == FINITE)
        far = np.abs(result[regular] - values[regular]) > 4 * error[regular]
        assert not far.any(), (str(expression), arguments[:, regular][:, far][:, 0])
        compared += regular.sum()
        finite += (moderate & (codes == FINITE)).sum()
    assert compared >= 0.94 * finite


def test_infinite_and_undefined_values_agree_for_divisions_by_zero():
    texts = {"1/x_0", "x_1/x_0", "x_0**(-1)", "x_0**3", "x_0 + x_1"}
    found = 0
    for expression, arguments, values, codes in golden_cases(2):
        if str(expression) not in texts:
            continue
        found += 1
        sizes = np.abs(arguments)
        moderate = ((arguments == 0) | ((sizes > SMALLEST) & (sizes < LARGEST))).all(axis=0)
        result = expression.evaluate(*arguments)
        is_infinite = moderate & (codes == INFINITE)
        assert (result[is_infinite] == values[is_infinite]).all()
        assert np.isnan(result[moderate & (codes == NOT_A_NUMBER)]).all()
    assert found == len(texts)
