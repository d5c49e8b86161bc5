"""Plasticity rules: one small language and everything that is made of it.

Only this package's public names are used elsewhere; `compile_rule` is loaded on first use, so that
web processes never load LLVM.
"""

from nest_build.rules.arithmetic import Arithmetic
from nest_build.rules.language import (
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_NODES,
    Expression,
    RuleSyntaxError,
    parse,
)
from nest_build.rules.signature import PlasticityRule, RuleInput, RuleSignature

__all__ = [
    "MAX_DEPTH",
    "MAX_LENGTH",
    "MAX_NODES",
    "Arithmetic",
    "CompiledRule",
    "Expression",
    "PlasticityRule",
    "RuleInput",
    "RuleSignature",
    "RuleSyntaxError",
    "compile_rule",
    "expression_from_symengine",
    "parse",
]

_LAZY = {
    "CompiledRule": "nest_build.rules.compiler",
    "compile_rule": "nest_build.rules.compiler",
    "expression_from_symengine": "nest_build.rules.canonical",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
