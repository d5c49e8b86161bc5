"""The forms in which a rule is exported; page, command, guide and tests follow this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolution.exports.cpp_function import cpp_function
from evolution.exports.markup import latex, mathml
from evolution.exports.nestml import nestml_model
from evolution.exports.notebook import notebook
from evolution.exports.numpy_function import numpy_function
from evolution.exports.pynest_script import pynest_script
from evolution.exports.sympy_expression import sympy_expression

if TYPE_CHECKING:
    from collections.abc import Callable

    from evolution.models import Rule


@dataclass(frozen=True)
class Form:
    """One form of export.

    Attributes
    ----------
    name : str
        How addresses and commands call it.
    title : str
        How people call it.
    ending : str
        Of the file, without its point.
    media_type : str
        Of the file, for browsers.
    write : callable
        Returns the text of a rule in this form; raises `Inexpressible` where it has none.
    """

    name: str
    title: str
    ending: str
    media_type: str
    write: Callable[[Rule], str]

    def file_name(self, rule: Rule) -> str:
        """Return the name of the file with a rule in this form; Python can import it."""
        return f"rule_{rule.fingerprint[:12]}_{self.name}.{self.ending}"


FORMS = {
    form.name: form
    for form in (
        Form("latex", "LaTeX", "tex", "application/x-tex", latex),
        Form("mathml", "MathML", "mml", "application/mathml+xml", mathml),
        Form("sympy", "SymPy expression", "py", "text/x-python", sympy_expression),
        Form("numpy", "NumPy function", "py", "text/x-python", numpy_function),
        Form("cpp", "C++ function", "cpp", "text/x-c++src", cpp_function),
        Form("nestml", "NESTML synapse model", "nestml", "text/plain", nestml_model),
        Form("pynest", "PyNEST script", "py", "text/x-python", pynest_script),
        Form("notebook", "Jupyter notebook", "ipynb", "application/x-ipynb+json", notebook),
    )
}
