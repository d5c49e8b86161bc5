"""Machine code of expressions, through LLVM; the only module that imports llvmlite."""

import ctypes
import ctypes.util
import os
import threading
from collections import OrderedDict
from collections.abc import Collection

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import ArrayLike

from nest_build.rules import codegen
from nest_build.rules.arithmetic import Arithmetic
from nest_build.rules.language import Expression

_DOUBLE_POINTER = ctypes.POINTER(ctypes.c_double)

# So many rules are kept for those who ask for them again. An evolution asks for hundreds of
# thousands of rules in one process, each of which takes some fifty kilobytes.
_MAX_KEPT = 128
# LLVM forgets a library but not its name and symbols: an engine is replaced after so many.
_MAX_RULES_PER_ENGINE = 128


class CompiledRule:
    """Machine code of one expression; it stays where it is as long as this object.

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
    arithmetic : Arithmetic
        What a product with a factor of zero is.
    """

    def __init__(
        self,
        expression: Expression,
        uniform: frozenset[str],
        arithmetic: Arithmetic,
        engine: "_Engine",
    ) -> None:
        library = engine.link(expression, uniform, arithmetic)
        self.expression = expression
        self.uniform = uniform
        self.arithmetic = arithmetic
        self.scalar_address: int = library[codegen.SCALAR_NAME]
        self.array_address: int = library[codegen.ARRAY_NAME]
        # They own the code behind both addresses.
        self._library = library
        self._engine = engine
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


class _Engine:
    """LLVM set up for this machine."""

    def __init__(self) -> None:
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
        self._symbols: dict[str, int] = {}
        self.n_linked = 0
        c_library = ctypes.CDLL(ctypes.util.find_library("m"))
        for name in codegen.LIBRARY_FUNCTIONS:
            address = ctypes.cast(getattr(c_library, name), ctypes.c_void_p).value
            self._symbols[codegen.SYMBOL_PREFIX + name] = address
        name = codegen.COMPLEX_POWER_NAME
        self._support = self._link("support", codegen.SUPPORT_IR, name)
        self._symbols[name] = self._support[name]

    def link(
        self, expression: Expression, uniform: frozenset[str], arithmetic: Arithmetic
    ) -> llvm.ResourceTracker:
        """Return the library that has both functions of the rule."""
        source = codegen.generate(expression, uniform, arithmetic)
        self.n_linked += 1
        return self._link(f"rule_{self.n_linked}", source, codegen.SCALAR_NAME, codegen.ARRAY_NAME)

    def _link(self, label: str, source: str, *exported: str) -> llvm.ResourceTracker:
        builder = llvm.JITLibraryBuilder().add_ir(source)
        for name, address in self._symbols.items():
            if f"@{name}(" in source:
                builder.import_symbol(name, address)
        for name in exported:
            builder.export_symbol(name)
        return builder.link(self._jit, label)


class _Compiler:
    """The present engine, and the rules that were asked for last."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # LLVM is started once, and a rule is compiled once
        self._rules: OrderedDict[
            tuple[str, tuple[str, ...], frozenset[str], Arithmetic], CompiledRule
        ] = OrderedDict()
        self._engine: _Engine | None = None

    def compile(
        self, expression: Expression, uniform: frozenset[str], arithmetic: Arithmetic
    ) -> CompiledRule:
        key = (str(expression), expression.inputs, uniform, arithmetic)
        with self.lock:
            if key in self._rules:
                self._rules.move_to_end(key)
                return self._rules[key]
            if self._engine is None or self._engine.n_linked >= _MAX_RULES_PER_ENGINE:
                self._engine = _Engine()
            rule = CompiledRule(expression, uniform, arithmetic, self._engine)
            self._rules[key] = rule
            if len(self._rules) > _MAX_KEPT:
                self._rules.popitem(last=False)
            return rule


_compiler = _Compiler()


def _unlock_after_fork() -> None:
    # A thread of the parent may have held the lock at the moment of the fork.
    _compiler.lock = threading.Lock()


os.register_at_fork(after_in_child=_unlock_after_fork)


def compile_rule(
    expression: Expression,
    *,
    uniform: Collection[str] = (),
    arithmetic: Arithmetic = Arithmetic.IEEE,
) -> CompiledRule:
    """Compile an expression, or return what was compiled not long ago.

    Parameters
    ----------
    expression : Expression
        The rule branch.
    uniform : collection of str
        Names of the inputs which the array function reads once, from a single double.
    arithmetic : Arithmetic
        What a product with a factor of zero is.

    Returns
    -------
    CompiledRule
        Its addresses are valid as long as it is kept.
    """
    unknown = set(uniform) - set(expression.inputs)
    if unknown:
        raise ValueError(f"not an input of the rule: {', '.join(sorted(unknown))}")
    return _compiler.compile(expression, frozenset(uniform), arithmetic)
