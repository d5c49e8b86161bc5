"""Gives NEST modules the means to compile plasticity rules.

A module asks for the machine code of an expression by a C callback when a synapse model gets a
rule that the module does not know yet.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nest_build import builder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nest_build.rules import CompiledRule

# int compile(const char* expression, const char* arithmetic,
#             void** scalar, void** array, char* message, size_t size)
_RuleCompiler = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_void_p,
    ctypes.c_size_t,
)
# void release(const char* expression, const char* arithmetic)
_RuleReleaser = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p)


@dataclass(frozen=True)
class _RuleForm:
    """How a module calls its rules: names of the inputs, and which are one value per call."""

    inputs: tuple[str, ...]
    uniform: tuple[str, ...]


_RULE_FORMS = {
    "us_sympy_synapse_module": _RuleForm(inputs=("v", "u", "s"), uniform=("v",)),
    "usrl_synapse_module": _RuleForm(inputs=("R", "E"), uniform=("R",)),
    "stdp_sympy_synapse_module": _RuleForm(inputs=("w", "E"), uniform=()),
}

# Modules with a compiler. NEST unloads modules at ResetKernel; these references keep the library
# and the callbacks in place, so that rules stay compiled and no address ever dangles.
# A module that was built anew is another file of the same name.
_attached: dict[tuple[Path, int], tuple[ctypes.CDLL, Any, Any]] = {}


def module_path(name: str) -> str:
    """Return what ``nest.Install`` takes to load the module ``name``.

    Call it after ``import nest``: the module is given the rule compiler at the same time.

    Parameters
    ----------
    name : str
        One of ``nest_build.MODULES``.

    Returns
    -------
    str
        Absolute path without the file's ending.

    Raises
    ------
    ModulesNotBuilt
        If the module has not been built yet.
    ValueError
        If there is no module of that name.
    """
    library = builder.library_path(name)
    # The module's symbols are NEST's: it cannot be loaded before NEST.
    key = (library, library.stat().st_ino)
    if "nest" in sys.modules and name in _RULE_FORMS and key not in _attached:
        module = ctypes.CDLL(str(library))
        compiler, releaser = _callbacks(_RULE_FORMS[name])
        module.set_rule_compiler(compiler, releaser)
        _attached[key] = (module, compiler, releaser)
    return str(library.with_suffix(""))


def _callbacks(form: _RuleForm) -> tuple[Callable[..., int], Callable[[bytes, bytes], None]]:
    """Return the compiler and the releaser of one module."""
    # The machine code that the module has the addresses of.
    in_use: dict[tuple[bytes, bytes], CompiledRule] = {}

    def compile_expression(
        expression: bytes, arithmetic: bytes, scalar: Any, array: Any, message: int, size: int
    ) -> int:
        # Nothing may be raised here: an exception cannot pass through the C++ code that called.
        try:
            from nest_build.rules import Arithmetic, compile_rule, parse

            rule = compile_rule(
                parse(expression.decode(), form.inputs),
                uniform=form.uniform,
                arithmetic=Arithmetic(arithmetic.decode()),
            )
            scalar[0] = rule.scalar_address
            array[0] = rule.array_address
            in_use[expression, arithmetic] = rule
        except Exception as error:
            text = (str(error) or type(error).__name__).encode()[: size - 1]
            ctypes.memmove(message, text + b"\0", len(text) + 1)
            return 1
        return 0

    def release(expression: bytes, arithmetic: bytes) -> None:
        in_use.pop((expression, arithmetic), None)

    return _RuleCompiler(compile_expression), _RuleReleaser(release)
