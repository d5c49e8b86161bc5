"""What all forms read of a rule: its branches as trees, the kind of its inputs, their meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nest_build.rules import parse
from nest_build.rules.tree import Binary, Input, Neg, Number, integer_exponent, walk

if TYPE_CHECKING:
    from collections.abc import Container

    from evolution.models import Rule
    from nest_build.rules import Expression, RuleInput
    from nest_build.rules.tree import Node

#: Signatures of the rules for which there are synapse models.
CONTINUOUS = "v,u,s -> delta_w"
REWARD = "R,E -> delta_w"
PAIRS = "w,E -> depress,facilitate"


class Inexpressible(ValueError):
    """A form cannot say what a rule means; the message is a sentence for people."""


def expressions(rule: Rule) -> dict[str, Expression]:
    """Return the expression of each branch."""
    pairs = zip(rule.branch_names, rule.expressions, strict=True)
    return {branch: parse(text, rule.input_names) for branch, text in pairs}


def texts(rule: Rule) -> dict[str, str]:
    """Return the source text of each branch, made of nothing but the language of rules."""
    return {branch: str(expression) for branch, expression in expressions(rule).items()}


def inputs(rule: Rule) -> tuple[RuleInput, ...]:
    """Return what the inputs are, with their units; nothing where no learning task has them."""
    from evolution.models.rule import signature_text
    from simulations.learning_tasks import get_learning_task, learning_task_names

    for name in learning_task_names():
        signature = get_learning_task(name).signature
        if signature_text(signature) == rule.signature:
            return signature.inputs
    return ()


def require_synapse_model(rule: Rule) -> None:
    """Raise an error where no synapse model has the inputs and branches of the rule."""
    if rule.signature not in (CONTINUOUS, REWARD, PAIRS):
        raise Inexpressible(f"No synapse model has the inputs and branches {rule.signature}.")


def may_leave_reals(tree: Node, never_negative: Container[int] = ()) -> bool:
    """Tell whether a power may make a complex number of real inputs.

    Parameters
    ----------
    tree : Node
        The expression.
    never_negative : container of int
        Positions of the inputs that are known to be at least zero.
    """
    return any(
        isinstance(node, Binary)
        and node.operator == "**"
        and integer_exponent(node.right) is None
        and not _is_never_negative(node.left, never_negative)
        for node in walk(tree)
    )


def _is_never_negative(node: Node, inputs: Container[int]) -> bool:
    if isinstance(node, Number):
        return True
    if isinstance(node, Input):
        return node.index in inputs
    if isinstance(node, Neg) or node.operator == "-":
        return False
    exponent = integer_exponent(node.right) if node.operator == "**" else None
    if exponent is not None and exponent % 2 == 0:
        return True
    return _is_never_negative(node.left, inputs) and (
        node.operator == "**" or _is_never_negative(node.right, inputs)
    )
