"""Hal-cgp on every supported Python: ``from evolution.cgp.hal import cgp``.

Hal-cgp 0.3.0 runs generated code by ``exec(text, globals, locals())`` and then reads the result
from ``locals()``. Since Python 3.13 (PEP 667) each call of ``locals()`` in a function returns a
new copy, in which the result is missing, and already the import fails. The frame's own mapping
behaves as ``locals()`` did before.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


def _locals_of_caller() -> Mapping[str, Any]:
    return sys._getframe(1).f_locals


def _import_cgp() -> ModuleType:
    if sys.version_info < (3, 13):
        return importlib.import_module("cgp")
    # The import itself runs generated code, so a replacement afterwards would come too late.
    original = builtins.locals
    builtins.locals = _locals_of_caller
    try:
        module = importlib.import_module("cgp")
    finally:
        builtins.locals = original
    module.cartesian_graph.locals = _locals_of_caller
    return module


cgp = _import_cgp()
