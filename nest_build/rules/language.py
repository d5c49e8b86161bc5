"""The language of plasticity rules: grammar, limits and `Expression`.

An expression is made of the rule's inputs, numbers, ``+ - * / **``, signs and brackets; the
precedence is Python's. The text is checked token by token, which gives every mistake a message and
a column, then parsed by `ast` into a whitelist of node types. It is never evaluated as Python.
"""

import ast
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from nest_build.rules import tree as nodes
from nest_build.rules.arithmetic import Arithmetic
from nest_build.rules.tree import Node

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

#: Limits of one expression. Evolved rules of 24 columns stay far below them.
MAX_LENGTH = 10_000
MAX_DEPTH = 100
MAX_NODES = 2_000

_ALIAS = re.compile(r"x_(0|[1-9][0-9]{0,3})")
_TOKEN = re.compile(
    r"(?P<space>[ \t]+)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<operator>\*\*|//|[-+*/])"
    r"|(?P<open>\()"
    r"|(?P<close>\))"
)
_AST_OPERATORS: dict[type[ast.operator], nodes.Operator] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
}


class RuleSyntaxError(ValueError):
    """The text is not an expression of the rule language.

    Parameters
    ----------
    message : str
        A sentence for people.
    column : int or None
        Where the mistake is, counted from 1; None when it has no single place.
    """

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.column = column

    def __reduce__(self) -> tuple[type["RuleSyntaxError"], tuple[str, int | None]]:
        return RuleSyntaxError, (self.message, self.column)


@dataclass(frozen=True)
class Expression:
    """An expression of the rule language.

    Parameters
    ----------
    inputs : tuple of str
        Names of the inputs, in the order of the aliases ``x_0``, ``x_1``, ...
    tree : Node
        The syntax tree, see `nest_build.rules.tree`.
    """

    inputs: tuple[str, ...]
    tree: Node

    def __str__(self) -> str:
        """Source text with named inputs, which `parse` accepts."""
        return nodes.render(self.tree, self.inputs)

    def canonical(self) -> "Expression":
        """The simplified form in which equal structures have equal text; nothing is expanded."""
        from nest_build.rules.canonical import canonical

        return canonical(self)

    def fingerprint(self) -> str:
        """Name of the semantic class: expressions of equal value have equal fingerprints."""
        from nest_build.rules.equivalence import fingerprint

        return fingerprint(self)

    def complexity(self) -> int:
        """Number of operators and leaves of the canonical form."""
        from nest_build.rules.canonical import complexity

        return complexity(self)

    def latex(self) -> str:
        """The expression as LaTeX mathematics, without delimiters."""
        from nest_build.rules.latex import latex

        return latex(self)

    def mathml(self) -> str:
        """The expression as a complete presentation MathML ``<math>`` element."""
        from nest_build.rules.mathml import mathml

        return mathml(self)

    def evaluate(
        self, *values: "ArrayLike", arithmetic: Arithmetic = Arithmetic.IEEE
    ) -> "np.ndarray":
        """Values by the slow reference; one array per input, broadcast, float64."""
        from nest_build.rules.reference import evaluate

        return evaluate(self, *values, arithmetic=arithmetic)


def parse(text: str, inputs: Sequence[str]) -> Expression:
    """Read an expression.

    Parameters
    ----------
    text : str
        The expression; inputs are written by name or by alias (``x_0``, ``x_1``, ...).
    inputs : sequence of str
        Names of the inputs, in order.

    Raises
    ------
    RuleSyntaxError
        If the text is not an expression of the language or exceeds its limits.
    """
    if not isinstance(text, str):
        raise RuleSyntaxError("The rule must be a text.")
    return _parse(text, tuple(inputs))


def make_expression(tree: Node, inputs: Sequence[str]) -> Expression:
    """Expression of a tree built by the program, held to the same limits as a text."""
    _check_size(tree)
    return Expression(tuple(inputs), tree)


@lru_cache(maxsize=1024)
def _parse(text: str, inputs: tuple[str, ...]) -> Expression:
    if len(text) > MAX_LENGTH:
        raise RuleSyntaxError(f"The rule is longer than {MAX_LENGTH} characters.", MAX_LENGTH + 1)
    _check_tokens(text, inputs)
    source = text.lstrip(" \t")
    try:
        parsed = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RuleSyntaxError("The rule cannot be read.") from error
    return make_expression(_convert(parsed, inputs), inputs)


def _check_tokens(text: str, inputs: tuple[str, ...]) -> None:
    """Refuse whatever is not in the grammar, lexeme by token."""
    position = 0
    open_columns: list[int] = []
    expects_operand = True
    previous = ""  # the operator, sign or bracket before an operand
    while position < len(text):
        column = position + 1
        match = _TOKEN.match(text, position)
        if match is None:
            raise RuleSyntaxError(_character_message(text[position]), column)
        position = match.end()
        kind, lexeme = match.lastgroup, match.group()
        if kind == "space":
            continue
        if kind in ("number", "name", "open") and not expects_operand:
            raise RuleSyntaxError(_missing_operator_message(lexeme), column)
        if kind == "number":
            _check_number(text, lexeme, position, column)
            expects_operand = False
        elif kind == "name":
            _check_name(text, lexeme, position, column, inputs)
            expects_operand = False
        elif kind == "open":
            open_columns.append(column)
            if len(open_columns) > MAX_DEPTH:
                raise RuleSyntaxError(
                    f"Brackets are nested more than {MAX_DEPTH} levels deep.", column
                )
            previous = lexeme
        elif kind == "close":
            if not open_columns:
                raise RuleSyntaxError("This closing bracket has no opening bracket.", column)
            if expects_operand:
                raise RuleSyntaxError("A number or an input is missing before ')'.", column)
            open_columns.pop()
        elif lexeme == "//":
            raise RuleSyntaxError("Division is written with one slash: /.", column)
        elif not expects_operand:
            expects_operand, previous = True, lexeme
        elif lexeme in "+-":
            if previous and previous in "+-":
                raise RuleSyntaxError("Two signs in a row: set the second one in brackets.", column)
            previous = lexeme
        else:
            raise RuleSyntaxError(f"A number or an input is missing before '{lexeme}'.", column)
    if not text.strip(" \t"):
        raise RuleSyntaxError("The rule is empty.", 1)
    if expects_operand:
        raise RuleSyntaxError("A number or an input is missing at the end.", len(text) + 1)
    if open_columns:
        raise RuleSyntaxError("This bracket is never closed.", open_columns[-1])


def _check_number(text: str, token: str, end: int, column: int) -> None:
    following = text[end : end + 1]
    if following == "_":
        raise RuleSyntaxError("Numbers are written without underscores.", end + 1)
    if following == ".":
        raise RuleSyntaxError("A number has at most one decimal point.", end + 1)
    if following.isascii() and following.isalpha():
        raise RuleSyntaxError(
            f"An operator is missing after {token}: write {token}*{following}... for a product.",
            end + 1,
        )
    if len(token) > 1 and token[0] == "0" and token[1].isdigit():
        raise RuleSyntaxError("A number does not start with a needless zero.", column)
    if float(token) == float("inf"):
        raise RuleSyntaxError("The number is too large for double precision.", column)


def _check_name(text: str, token: str, end: int, column: int, inputs: tuple[str, ...]) -> None:
    if input_index(token, inputs) is None:
        if text[end:].lstrip(" \t").startswith("("):
            raise RuleSyntaxError(
                f"'{token}(...)' is a function call; rules have only + - * / ** and brackets.",
                column,
            )
        raise RuleSyntaxError(_unknown_name_message(token, inputs), column)


def input_index(name: str, inputs: tuple[str, ...]) -> int | None:
    """Position of the input with this name or alias, None if there is none."""
    if name in inputs:
        return inputs.index(name)
    alias = _ALIAS.fullmatch(name)
    if alias and int(alias[1]) < len(inputs):
        return int(alias[1])
    return None


def _unknown_name_message(name: str, inputs: tuple[str, ...]) -> str:
    shown = name if len(name) <= 40 else name[:40] + "..."
    aliases = [f"x_{index}" for index in range(len(inputs))]
    if not inputs:
        return f"Unknown name '{shown}'; this rule has no inputs."
    message = f"Unknown name '{shown}'; the inputs are {', '.join(inputs)}"
    if tuple(aliases) != inputs:
        message += f" (or {', '.join(aliases)})"
    close = difflib.get_close_matches(name[:40], [*inputs, *aliases], n=1)
    close = close or [known for known in inputs if known.lower() == name.lower()]
    return message + (f". Did you mean '{close[0]}'?" if close else ".")


def _missing_operator_message(token: str) -> str:
    shown = token if len(token) <= 40 else token[:40] + "..."
    return f"An operator is missing before '{shown}'; products are written with *."


def _character_message(character: str) -> str:
    if character in "\r\n":
        return "The rule must be on one line."
    if character == "^":
        return "Powers are written with **, not ^."
    if character in "<>=!":
        return "Comparisons and assignments are not part of the language."
    if character == ".":
        return "A point is allowed only inside a number."
    if character == ",":
        return "Decimals are written with a point; commas are not part of the language."
    if character in "[]{}":
        return "Use round brackets."
    if not character.isprintable() or not character.isascii():
        return f"The character {character!a} is not allowed; rules are plain ASCII text."
    return f"The character '{character}' is not part of the language."


def _convert(node: ast.expr, inputs: tuple[str, ...]) -> Node:
    """Our tree from Python's, which holds only whitelisted nodes.

    Iterative, because a sum of many terms is a deep tree in `ast`; the depth is checked afterwards.
    """
    pending: list[tuple[ast.expr, bool]] = [(node, False)]
    done: list[Node] = []
    while pending:
        current, has_children = pending.pop()
        if isinstance(current, ast.Constant) and type(current.value) in (int, float):
            done.append(nodes.Number(float(current.value)))
        elif isinstance(current, ast.Name) and input_index(current.id, inputs) is not None:
            done.append(nodes.Input(input_index(current.id, inputs)))
        elif isinstance(current, ast.UnaryOp) and isinstance(current.op, ast.USub | ast.UAdd):
            if not has_children:
                pending += ((current, True), (current.operand, False))
            elif isinstance(current.op, ast.USub):
                done.append(nodes.Neg(done.pop()))
        elif isinstance(current, ast.BinOp) and type(current.op) in _AST_OPERATORS:
            if not has_children:
                pending += ((current, True), (current.right, False), (current.left, False))
            else:
                right, left = done.pop(), done.pop()
                done.append(nodes.Binary(_AST_OPERATORS[type(current.op)], left, right))
        else:
            raise RuleSyntaxError("The rule holds something that is not part of the language.")
    return done.pop()


def _check_size(tree: Node) -> None:
    for count, _ in enumerate(nodes.walk(tree), start=1):
        if count > MAX_NODES:
            raise RuleSyntaxError(f"The rule has more than {MAX_NODES} operators and operands.")
    if nodes.depth(tree) > MAX_DEPTH:
        raise RuleSyntaxError(f"The rule is nested more than {MAX_DEPTH} levels deep.")
