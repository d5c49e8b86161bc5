"""LaTeX of an expression."""

from collections.abc import Mapping

from nest_build.rules.language import Expression
from nest_build.rules.layout import write, write_branch


def latex(expression: Expression) -> str:
    """The expression as LaTeX mathematics, without delimiters."""
    return write(expression, _LatexSpeller())


def latex_equations(branches: Mapping[str, Expression]) -> str:
    """One aligned equation per branch, as a complete ``align*`` environment of amsmath."""
    speller = _LatexSpeller()
    lines = [
        f"  {write_branch(branch, speller)} &= {latex(expression)}"
        for branch, expression in branches.items()
    ]
    return "\n".join([r"\begin{align*}", " \\\\\n".join(lines), r"\end{align*}"]) + "\n"


class _LatexSpeller:
    """Spells the parts of a formula in LaTeX."""

    def number(self, mantissa: str, exponent: str | None) -> str:
        return mantissa if exponent is None else rf"{mantissa} \cdot 10^{{{exponent}}}"

    def symbol(self, name: str, subscript: str | None) -> str:
        assert f"{name}{subscript or ''}".isidentifier()
        text = name if len(name) == 1 else rf"\mathrm{{{name}}}".replace("_", r"\_")
        if subscript is None:
            return text
        return text + (f"_{subscript}" if len(subscript) == 1 else rf"_{{\mathrm{{{subscript}}}}}")

    def change(self, symbol: str) -> str:
        return rf"\Delta {symbol}"

    def negative(self, operand: str) -> str:
        return f"-{operand}"

    def total(self, left: str, operator: str, right: str) -> str:
        return f"{left} {operator} {right}"

    def product(self, left: str, right: str, *, is_implicit: bool) -> str:
        return f"{left} {right}" if is_implicit else rf"{left} \cdot {right}"

    def fraction(self, above: str, below: str) -> str:
        return rf"\frac{{{above}}}{{{below}}}"

    def power(self, base: str, exponent: str) -> str:
        return f"{base}^{{{exponent}}}"

    def bracketed(self, inner: str) -> str:
        return rf"\left({inner}\right)"
