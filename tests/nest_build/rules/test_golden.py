"""Values of the authors' rule evaluation (SymEngine), see the golden data's own description.

Compared are the points on which the value is well defined in double precision. The tolerance is
four times the bound of the rounding error, computed with the value. Left out are

* texts outside the language (exp, log, zoo, oo) and points on which the authors' code fails;
* singular points (a division by zero, sizes beyond 1e100 or under 1e-100): the authors substitute
  inputs one after the other into a symbolic expression, so that 0/x is 0 before x = 0 is seen;
* powers whose base is a negative number up to rounding only, where the branch is arbitrary;
* inputs that are not finite.

That holds for SymEngine as of 2026 with IEEE arithmetic and for that of 2020 with zero products,
there except for large arguments of the texts in `OTHERWISE_IN_2020`. Where the two differ, zero
products must give what SymEngine gave in 2020, except for some of these texts.
"""

from pathlib import Path

import numpy as np
import pytest

from nest_build.rules import Arithmetic, RuleSyntaxError, compile_rule, parse
from tests.nest_build.rules.bounds import LARGEST, SMALLEST, evaluate_with_bounds

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden"
RECORDED = {
    Arithmetic.IEEE: GOLDEN / "rule_evaluation.npz",
    Arithmetic.ZERO_PRODUCTS: GOLDEN / "rule_evaluation_2020.npz",
}
FINITE, INFINITE, NOT_A_NUMBER, EXCEPTION = range(4)
#: With huge or vanishing bases of powers: the library split the power of a product into powers that
#: are infinite or zero, or took them as complex numbers.
OTHERWISE_IN_2020 = {
    "x_0 - (x_0/(x_0 - x_1))**(x_0 - x_1)",
    "(x_0**2 + x_1**((-x_0**2 + x_1)/x_0)*(-x_0**2 + x_1))/x_0",
    "(-x_0)**x_1",
    "(x_0*x_1)**(2*x_0)",
    "(0.1*x_0)**(10*x_1)",
}

pytestmark = pytest.mark.skipif(
    not all(path.exists() for path in RECORDED.values()), reason=f"no golden data at {GOLDEN}"
)


def golden_cases(n_inputs, arithmetic=Arithmetic.IEEE):
    """Expression, arguments, values and codes of every expression of the language."""
    names = [f"x_{index}" for index in range(n_inputs)]
    with np.load(RECORDED[arithmetic]) as data:
        arguments = data[f"args{n_inputs}"].T
        rows = zip(*(data[f"{key}{n_inputs}"] for key in ("expr", "values", "code")), strict=True)
        for text, values, codes in rows:
            try:
                expression = parse(str(text), names)
            except RuleSyntaxError:
                assert str(text) in ("zoo", "oo", "exp(x_0)", "log(x_0)")
                continue
            yield expression, arguments, values, codes


def is_moderate(arguments):
    sizes = np.abs(arguments)
    return ((arguments == 0) | ((sizes > SMALLEST) & (sizes < LARGEST))).all(axis=0)


@pytest.mark.parametrize("arithmetic", Arithmetic)
@pytest.mark.parametrize("form", ["as written", "canonical"])
@pytest.mark.parametrize("n_inputs", [2, 3])
def test_golden_values_are_met(n_inputs, form, arithmetic):
    compared = finite = 0
    for written, arguments, values, codes in golden_cases(n_inputs, arithmetic):
        expression = written.canonical() if form == "canonical" else written
        result = compile_rule(expression, arithmetic=arithmetic)(*arguments)
        moderate = is_moderate(arguments)
        error = evaluate_with_bounds(expression.tree, arguments)[1]
        regular = moderate & np.isfinite(error) & (codes == FINITE)
        far = np.abs(result[regular] - values[regular]) > 4 * error[regular]
        if arithmetic is Arithmetic.ZERO_PRODUCTS and str(written) in OTHERWISE_IN_2020:
            far &= np.abs(arguments[:, regular]).max(axis=0) < 1e6
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
        moderate = is_moderate(arguments)
        result = expression.evaluate(*arguments)
        is_infinite = moderate & (codes == INFINITE)
        assert (result[is_infinite] == values[is_infinite]).all()
        assert np.isnan(result[moderate & (codes == NOT_A_NUMBER)]).all()
    assert found == len(texts)


@pytest.mark.parametrize(("n_inputs", "least"), [(2, 30), (3, 170)])
def test_zero_products_are_what_the_library_of_2020_had_and_that_of_2026_has_not(n_inputs, least):
    n_met = 0
    recorded = (golden_cases(n_inputs, arithmetic) for arithmetic in Arithmetic)
    for (_, _, new_values, new_codes), (expression, arguments, values, codes) in zip(
        *recorded, strict=True
    ):
        is_other = (codes != new_codes) | ((codes == INFINITE) & (values != new_values))
        points = is_moderate(arguments) & is_other & (codes != EXCEPTION)
        compiled = compile_rule(expression, arithmetic=Arithmetic.ZERO_PRODUCTS)
        is_met = np.isclose(
            compiled(*arguments[:, points]), values[points], rtol=1e-13, atol=0, equal_nan=True
        )
        assert is_met.all() or str(expression) in OTHERWISE_IN_2020
        n_met += is_met.sum()
    assert n_met >= least
