"""Signatures and the rules that fit them."""

import pytest

from nest_build.rules import PlasticityRule, RuleInput, RuleSignature, RuleSyntaxError

ERROR_DRIVEN = RuleSignature(
    (
        RuleInput("v", "mV", "teacher potential"),
        RuleInput("u", "mV", "student potential"),
        RuleInput("s", "mV", "postsynaptic potential"),
    ),
    ("delta_w",),
)
STDP = RuleSignature(
    (RuleInput("w", "", "weight"), RuleInput("E", "", "trace")), ("depress", "facilitate")
)


def error_driven(text):
    return PlasticityRule.parse(ERROR_DRIVEN, [text])


@pytest.mark.parametrize("name", ["", "2v", "a b", "<b>", "lambda", "é", "v\n"])
def test_input_name_must_be_an_identifier(name):
    with pytest.raises(ValueError, match="not a valid name"):
        RuleInput(name, "mV", "")


@pytest.mark.parametrize(
    ("names", "branches"),
    [(("v", "v"), ("f",)), (("x_1", "u"), ("f",)), (("v",), ()), (("v",), ("f", "f"))],
)
def test_ambiguous_signature_is_refused(names, branches):
    with pytest.raises(ValueError):
        RuleSignature(tuple(RuleInput(name, "", "") for name in names), branches)


def test_rule_has_one_expression_per_branch():
    with pytest.raises(RuleSyntaxError, match=r"needs 2 expression\(s\): depress, facilitate"):
        PlasticityRule.parse(STDP, ["w"])
    with pytest.raises(RuleSyntaxError, match=r"needs 1 expression\(s\): delta_w"):
        PlasticityRule.parse(ERROR_DRIVEN, "s")


def test_mistake_in_a_branch_names_the_branch():
    with pytest.raises(RuleSyntaxError, match=r"^facilitate: Unknown name 'q'") as caught:
        PlasticityRule.parse(STDP, ["w", "E + q"])
    assert caught.value.column == 5


def test_rule_carries_texts_and_sums_complexity():
    rule = PlasticityRule.parse(STDP, ["x_0*x_1", "-x_0"])
    assert rule.texts == ("w*E", "-w")
    assert rule.complexity == 3 + 2
    assert rule.latex == ("w E", "-w")
    assert len(rule.mathml) == 2


def test_key_is_shared_by_equal_structures_only():
    assert error_driven("s*(v - u)").key == error_driven("-(u - v)*s").key
    assert error_driven("s*(v - u)").key != error_driven("s*v - s*u").key
    assert error_driven("s*(v - u)").fingerprint == error_driven("s*v - s*u").fingerprint


def test_key_and_fingerprint_tell_branches_apart():
    one = PlasticityRule.parse(STDP, ["w", "E"])
    other = PlasticityRule.parse(STDP, ["E", "w"])
    assert one.key != other.key
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(v - u)*s", True),
        ("2*s*(v - u)", True),
        ("0.1*(s*v - s*u)", True),
        ("s*(v - u)*(v**2 + 1)/(1 + v*v)", True),
        ("(u - v)*s", False),
        ("v - u", False),
        ("s*(v - u) + 0.001", False),
        ("0", False),
        ("1/0", False),
    ],
)
def test_positive_multiple(text, expected):
    assert error_driven(text).is_positive_multiple_of(error_driven("(v - u)*s")) is expected


def test_positive_multiple_needs_one_factor_for_all_branches():
    rule = PlasticityRule.parse(STDP, ["w", "E"])
    assert PlasticityRule.parse(STDP, ["2*w", "2*E"]).is_positive_multiple_of(rule)
    assert not PlasticityRule.parse(STDP, ["2*w", "3*E"]).is_positive_multiple_of(rule)
    assert not error_driven("v").is_positive_multiple_of(rule)
