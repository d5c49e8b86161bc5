"""Presentation MathML of an expression, which browsers draw without a script."""

from collections.abc import Mapping
from html import escape

from nest_build.rules.language import Expression
from nest_build.rules.layout import write, write_branch

_INVISIBLE_TIMES = "&#x2062;"
_DOT = "&#x22C5;"
_MINUS = "&#x2212;"


def mathml(expression: Expression) -> str:
    """The expression as a complete ``<math>`` element, with its source text as its name.

    Browsers name an element, and a link that holds it, by ``aria-label``; others read ``alttext``.
    """
    alternative = escape(str(expression), quote=True)
    formula = write(expression, _MathmlSpeller())
    return (
        f'<math xmlns="http://www.w3.org/1998/Math/MathML" alttext="{alternative}" '
        f'aria-label="{alternative}">{formula}</math>'
    )


def mathml_equations(branches: Mapping[str, Expression]) -> str:
    """One aligned equation per branch, as a complete ``<math>`` element."""
    speller = _MathmlSpeller()
    text = "; ".join(f"{branch} = {expression}" for branch, expression in branches.items())
    rows = "".join(
        f"<mtr><mtd>{write_branch(branch, speller)}</mtd><mtd><mo>=</mo></mtd>"
        f"<mtd>{write(expression, speller)}</mtd></mtr>"
        for branch, expression in branches.items()
    )
    return (
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block" '
        f'alttext="{escape(text, quote=True)}"><mtable>{rows}</mtable></math>\n'
    )


class _MathmlSpeller:
    """Spells the parts of a formula in MathML; every part is one element."""

    def number(self, mantissa: str, exponent: str | None) -> str:
        if exponent is None:
            return f"<mn>{mantissa}</mn>"
        sign = f"<mo>{_MINUS}</mo>" if exponent.startswith("-") else ""
        raised = _row(sign, f"<mn>{exponent.lstrip('-')}</mn>")
        return _row(f"<mn>{mantissa}</mn>", f"<mo>{_DOT}</mo>", f"<msup><mn>10</mn>{raised}</msup>")

    def symbol(self, name: str, subscript: str | None) -> str:
        assert f"{name}{subscript or ''}".isidentifier()
        if subscript is None:
            return f"<mi>{name}</mi>"
        below = f"<mn>{subscript}</mn>" if subscript.isdigit() else f"<mi>{subscript}</mi>"
        return f"<msub><mi>{name}</mi>{below}</msub>"

    def change(self, symbol: str) -> str:
        return _row("<mi>&#x394;</mi>", f"<mo>{_INVISIBLE_TIMES}</mo>", symbol)

    def negative(self, operand: str) -> str:
        return _row(f'<mo form="prefix">{_MINUS}</mo>', operand)

    def total(self, left: str, operator: str, right: str) -> str:
        return _row(left, f"<mo>{_MINUS if operator == '-' else '+'}</mo>", right)

    def product(self, left: str, right: str, *, is_implicit: bool) -> str:
        return _row(left, f"<mo>{_INVISIBLE_TIMES if is_implicit else _DOT}</mo>", right)

    def fraction(self, above: str, below: str) -> str:
        return f"<mfrac>{above}{below}</mfrac>"

    def power(self, base: str, exponent: str) -> str:
        return f"<msup>{base}{exponent}</msup>"

    def bracketed(self, inner: str) -> str:
        return _row("<mo>(</mo>", inner, "<mo>)</mo>")


def _row(*parts: str) -> str:
    return f"<mrow>{''.join(parts)}</mrow>"
