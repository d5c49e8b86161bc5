"""Machine code of expressions, through LLVM; the only module that imports llvmlite."""

import ctypes
import ctypes.util
import os
import threading
from collections.abc import Collection

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import ArrayLike

from nest_build.rules import codegen
from nest_build.rules.language import Expression

_DOUBLE_POINTER = ctypes.POINTER(ctypes.c_double)


class CompiledRule:
    """Machine code of one expression.

    Attributes
    ----------
    scalar_address : int
        Address of ``double f(double x_0, ..., double x_k)``.
    array_address : int
        Address of ``void f(int64_t n, const double* x_0, ..., const double* x_k, double* out)``;
        inputs named in `uniform` point to one double. `out` may be one of the inputs, but must not
        overlap them otherwise.
    uniform : frozenset of str
        Names of the inputs which are one value for the whole array.
    """

    def __init__(
        self, expression: Expression, uniform: frozenset[str], library: llvm.ResourceTracker
    ) -> None:
        self.expression = expression
        self.uniform = uniform
        self.scalar_address: int = library[codegen.SCALAR_NAME]
        self.array_address: int = library[codegen.ARRAY_NAME]
        self._library = library  # owns the code behind both addresses
        count = len(expression.inputs)
        self.scalar = ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_double] * count)(
            self.scalar_address
        )
        self._array = ctypes.CFUNCTYPE(
            None, ctypes.c_int64, *[_DOUBLE_POINTER] * count, _DOUBLE_POINTER
        )(self.array_address)

    def __call__(self, *values: ArrayLike) -> np.ndarray:
        """Values of the array function; one array per input, a single number where uniform."""
        names = self.expression.inputs
        if len(values) != len(names):
            raise TypeError(f"the rule has {len(names)} inputs, got {len(values)} arrays")
        arrays = [np.asarray(value, dtype=np.float64) for value in values]
        varying = [a for a, name in zip(arrays, names, strict=True) if name not in self.uniform]
        shape = np.broadcast_shapes(*(array.shape for array in varying))
        out = np.empty(shape)
        prepared = [
            np.array(array.item())
            if name in self.uniform
            else np.ascontiguousarray(np.broadcast_to(array, shape))
            for array, name in zip(arrays, names, strict=True)
        ]
        pointers = [array.ctypes.data_as(_DOUBLE_POINTER) for array in (*prepared, out)]
        self._array(out.size, *pointers)
        return out


class _Compiler:
    """LLVM set up for this machine, and the rules compiled so far."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # LLVM is started once, and a rule is compiled once
        self._rules: dict[tuple[str, tuple[str, ...], frozenset[str]], CompiledRule] = {}
        self._jit: llvm.LLJIT | None = None
        self._symbols: dict[str, int] = {}

    def compile(self, expression: Expression, uniform: frozenset[str]) -> CompiledRule:
        key = (str(expression), expression.inputs, uniform)
        with self.lock:
            if key not in self._rules:
                self._rules[key] = self._compile(expression, uniform)
            return self._rules[key]

    def _compile(self, expression: Expression, uniform: frozenset[str]) -> CompiledRule:
        if self._jit is None:
            self._start()
        source = codegen.generate(expression, uniform)
        library = self._link(
            f"rule_{len(self._rules)}", source, codegen.SCALAR_NAME, codegen.ARRAY_NAME
        )
        return CompiledRule(expression, uniform, library)

    def _start(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.check_jit_execution()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            # The IR is already vectorized and free of repeated operations: the back end's
            # optimizations would triple the time of compilation for a gain of nanoseconds.
            opt=0,
            jit=True,
        )
        self._jit = llvm.create_lljit_compiler(machine)
        c_library = ctypes.CDLL(ctypes.util.find_library("m"))
        for name in codegen.LIBRARY_FUNCTIONS:
            address = ctypes.cast(getattr(c_library, name), ctypes.c_void_p).value
            self._symbols[codegen.SYMBOL_PREFIX + name] = address
        name = codegen.COMPLEX_POWER_NAME
        self._support = self._link("support", codegen.SUPPORT_IR, name)
        self._symbols[name] = self._support[name]

    def _link(self, label: str, source: str, *exported: str) -> llvm.ResourceTracker:
        builder = llvm.JITLibraryBuilder().add_ir(source)
        for name, address in self._symbols.items():
            if f"@{name}(" in source:
                builder.import_symbol(name, address)
        for name in exported:
            builder.export_symbol(name)
        return builder.link(self._jit, label)


_compiler = _Compiler()


def _unlock_after_fork() -> None:
    # A thread of the parent may have held the lock at the moment of the fork.
    _compiler.lock = threading.Lock()


os.register_at_fork(after_in_child=_unlock_after_fork)


def compile_rule(expression: Expression, *, uniform: Collection[str] = ()) -> CompiledRule:
    """Compile an expression, once per process.

    Parameters
    ----------
    expression : Expression
        The rule branch.
    uniform : collection of str
        Names of the inputs which the array function reads once, from a single double.

    Returns
    -------
    CompiledRule
        Kept until the process ends, so its addresses stay valid.
    """
    unknown = set(uniform) - set(expression.inputs)
    if unknown:
        raise ValueError(f"not an input of the rule: {', '.join(sorted(unknown))}")
    return _compiler.compile(expression, frozenset(uniform))
