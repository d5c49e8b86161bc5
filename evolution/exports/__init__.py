"""A rule as text for other programs and for papers.

The programs follow the language of rules in double precision, also where a power of a negative
number leaves the reals, of which the language takes the real part. At singular points (0/0,
infinity times zero) each has the rules of its own library.
"""

from evolution.exports.forms import FORMS, Form
from evolution.exports.reading import Inexpressible

__all__ = ["FORMS", "Form", "Inexpressible"]
