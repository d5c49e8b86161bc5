"""How numbers, times and rules are written; ``static/js/format.js`` writes them the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

if TYPE_CHECKING:
    from datetime import datetime

register = template.Library()

_AGE_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@register.filter
def fitness(value: float | None) -> str:
    """Write a fitness with five significant digits; None is minus infinity."""
    if value is None:
        return "none"
    if value == 0:
        return "0"
    digits, exponent = f"{value:.4e}".split("e")
    if -3 <= int(exponent) < 5:
        return _number(f"{value:.{4 - int(exponent)}f}")
    return f"{_number(digits)}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"


@register.filter
def duration(seconds: float | None) -> str:
    """Write a time in its two largest units: 42 s, 3 min 5 s, 2 h 10 min, 3 d 4 h."""
    if seconds is None:
        return "—"
    total = max(0, int(seconds + 0.5))
    for size, unit, smaller, smaller_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if total >= size:
            rest = total % size // smaller
            return f"{total // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{total} s"


@register.filter
def age(moment: datetime) -> str:
    """Write how long ago something was, in its largest unit: 5 min ago."""
    seconds = (timezone.now() - moment).total_seconds()
    if seconds < 60:
        return "just now"
    size, unit = next(item for item in _AGE_UNITS if seconds >= item[0])
    return f"{int(seconds // size)} {unit} ago"


@register.filter
def count(number: int) -> str:
    """Write a number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


@register.filter
def percent(share: float) -> str:
    """Write a share; only what is complete is 100 %."""
    return f"{int(100 * share + 1e-6)} %"


@register.filter
def parameter_value(value: Any) -> str:
    """Write the value of a parameter for a table."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    if isinstance(value, float):
        return f"{value:.12g}".replace("-", "−")
    return str(value)


@register.filter
def rounded(value: float) -> str:
    """Write an effect size or an end of its interval with two significant digits."""
    return f"{value:.2g}".replace("-", "−")


@register.filter
def p_value(value: float) -> str:
    """Write a p value with two significant digits."""
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


@register.filter
def mathml(markup: str) -> SafeString:
    """Put MathML of the expression language into the page as it is.

    It is safe: ``nest_build.rules`` writes it from a parsed expression, whose names and numbers
    are the only text in it.
    """
    return mark_safe(markup)  # noqa: S308


def _number(digits: str) -> str:
    short = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return short.replace("-", "−")
