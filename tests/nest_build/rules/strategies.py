"""Random expressions of the rule language, for hypothesis."""

from hypothesis import strategies as st

from nest_build.rules import Expression
from nest_build.rules.tree import Binary, Input, Neg, Number

INPUTS = ("v", "u", "s")

#: Constants as evolution makes them, and any other double.
SMALL_CONSTANTS = st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 3.0, 10.0])
ANY_CONSTANTS = st.floats(min_value=0.0, allow_nan=False, allow_infinity=False)

#: Input values with everything special that a double can be.
SPECIAL_VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e300, -1e300, 5e-324]),
    st.floats(),
    st.floats(-3.0, 3.0),
)


def trees(constants=SMALL_CONSTANTS, operators="+-*/^", max_leaves=12):
    """Trees over `INPUTS`; ``^`` among the operators means the power."""
    leaves = st.one_of(
        st.integers(0, len(INPUTS) - 1).map(Input),
        constants.map(abs).map(Number),
    )
    symbols = [operator.replace("^", "**") for operator in operators]

    def branches(children):
        return st.one_of(
            st.builds(Binary, st.sampled_from(symbols), children, children),
            children.map(Neg),
        )

    return st.recursive(leaves, branches, max_leaves=max_leaves)


def expressions(**options):
    """Expressions over `INPUTS`; options as for `trees`."""
    return trees(**options).map(lambda tree: Expression(INPUTS, tree))
