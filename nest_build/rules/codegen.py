"""LLVM IR of an expression: a scalar function and an array function.

Arithmetic is IEEE double precision in the order of the tree: no fast-math, no contraction to
fused multiply-add, so that both functions, the reference and every machine agree bit by bit in
``+ - * /``; the other `Arithmetic` has selections after products. Values which may leave the real
numbers (powers whose exponent is not a literal whole number) are carried as a pair; an imaginary
part of exactly zero means a real number, which then follows the rules of real arithmetic
(`nest_build.rules.reference` states them in full).

The array function is written with vector types where every operation has a vector form, so that no
optimizing pass has to run, and with nothing that LLVM's fast instruction selection leaves to the
slow one (constant vectors, shuffles, calls where none are needed): a rule is compiled in about one
millisecond.
"""

import struct
from collections.abc import Collection
from dataclasses import dataclass

from nest_build.rules.arithmetic import Arithmetic
from nest_build.rules.language import Expression
from nest_build.rules.tree import (
    LARGEST_MULTIPLIED_EXPONENT,
    Binary,
    Input,
    Neg,
    Node,
    Number,
    integer_exponent,
    walk,
)

SCALAR_NAME = "rule_scalar"
ARRAY_NAME = "rule_array"

#: Doubles per vector in the array function: one AVX register, two of SSE2 or NEON. Arrays are
#: often as short as the number of synapses of one neuron, so wider vectors would rarely be filled.
VECTOR_WIDTH = 4

#: Functions of the C library which rules call. Their symbols carry a prefix, because LLVM rewrites
#: calls of functions it knows (pow of 2 to exp2, for example), which changes the last digits.
LIBRARY_FUNCTIONS = ("pow", "exp", "log", "sin", "cos", "hypot", "atan2", "fmod")
SYMBOL_PREFIX = "e2l_rule_"

_BINARY = ("pow", "hypot", "atan2", "fmod")
_LIBRARY_DECLARATIONS = "\n".join(
    f"declare double @{SYMBOL_PREFIX}{name}({'double, double' if name in _BINARY else 'double'})"
    for name in LIBRARY_FUNCTIONS
)
_REAL_POWER = f"{SYMBOL_PREFIX}pow"
COMPLEX_POWER_NAME = f"{SYMBOL_PREFIX}complex_power"
_PAIR = "{ double, double }"
_PI = "0x400921FB54442D18"
_NAN = "0x7FF8000000000000"

#: The power of pairs, compiled once per process and called by every rule that needs it.
#: The same steps in the same order as `nest_build.rules.reference.complex_power`.
SUPPORT_IR = f"""
{_LIBRARY_DECLARATIONS}

define {_PAIR} @{COMPLEX_POWER_NAME}(double %a, double %b, double %c, double %d) {{
entry:
  %base_is_real = fcmp oeq double %b, 0.0
  %exponent_is_real = fcmp oeq double %d, 0.0
  %both_real = and i1 %base_is_real, %exponent_is_real
  br i1 %both_real, label %real, label %complex
real:
  %negative = fcmp olt double %a, 0.0
  %fraction = call double @{SYMBOL_PREFIX}fmod(double %c, double 1.0)
  %fractional = fcmp one double %fraction, 0.0
  %leaves_reals = and i1 %negative, %fractional
  br i1 %leaves_reals, label %negative_base, label %stays_real
stays_real:
  %plain = call double @{_REAL_POWER}(double %a, double %c)
  br label %return_real
negative_base:
  %opposite = fneg double %a
  %size = call double @{_REAL_POWER}(double %opposite, double %c)
  %half_turns = call double @{SYMBOL_PREFIX}fmod(double %c, double 2.0)
  %turn = fmul double %half_turns, {_PI}
  br label %polar
complex:
  %exponent_is_zero_part = fcmp oeq double %c, 0.0
  %exponent_is_zero = and i1 %exponent_is_zero_part, %exponent_is_real
  br i1 %exponent_is_zero, label %return_real, label %not_one
not_one:
  %base_is_zero_part = fcmp oeq double %a, 0.0
  %base_is_zero = and i1 %base_is_zero_part, %base_is_real
  br i1 %base_is_zero, label %zero_base, label %general
zero_base:
  %vanishes = fcmp ogt double %c, 0.0
  %zero_power = select i1 %vanishes, double 0.0, double {_NAN}
  br label %return_real
general:
  %imaginary = select i1 %base_is_real, double 0.0, double %b
  %distance = call double @{SYMBOL_PREFIX}hypot(double %a, double %imaginary)
  %log_size = call double @{SYMBOL_PREFIX}log(double %distance)
  %phase = call double @{SYMBOL_PREFIX}atan2(double %imaginary, double %a)
  %d_phase = fmul double %d, %phase
  %d_log = fmul double %d, %log_size
  %d_phase_or_zero = select i1 %exponent_is_real, double 0.0, double %d_phase
  %d_log_or_zero = select i1 %exponent_is_real, double 0.0, double %d_log
  %c_log = fmul double %c, %log_size
  %c_phase = fmul double %c, %phase
  %power_log = fsub double %c_log, %d_phase_or_zero
  %power_phase = fadd double %c_phase, %d_log_or_zero
  %power_size = call double @{SYMBOL_PREFIX}exp(double %power_log)
  br label %polar
polar:
  %modulus = phi double [ %size, %negative_base ], [ %power_size, %general ]
  %angle = phi double [ %turn, %negative_base ], [ %power_phase, %general ]
  %cosine = call double @{SYMBOL_PREFIX}cos(double %angle)
  %sine = call double @{SYMBOL_PREFIX}sin(double %angle)
  %real_part = fmul double %modulus, %cosine
  %imag_part = fmul double %modulus, %sine
  %half_pair = insertvalue {_PAIR} undef, double %real_part, 0
  %pair = insertvalue {_PAIR} %half_pair, double %imag_part, 1
  ret {_PAIR} %pair
return_real:
  %value = phi double [ %plain, %stays_real ], [ 1.0, %complex ], [ %zero_power, %zero_base ]
  %half_real = insertvalue {_PAIR} undef, double %value, 0
  %real_pair = insertvalue {_PAIR} %half_real, double 0.0, 1
  ret {_PAIR} %real_pair
}}
"""

#: Declarations by the name of the function, for the rules that call it.
_RULE_DECLARATIONS = {
    "llvm.fabs.f64": "declare double @llvm.fabs.f64(double)",
    _REAL_POWER: f"declare double @{_REAL_POWER}(double, double)",
    COMPLEX_POWER_NAME: f"declare {_PAIR} @{COMPLEX_POWER_NAME}(double, double, double, double)",
}


@dataclass(frozen=True)
class _Value:
    """An emitted value: real part and, where it may not be real, imaginary part."""

    real: str
    imag: str | None = None


class _Body:
    """Emits the arithmetic of one tree for one element type; equal operations are emitted once."""

    def __init__(self, element: str, prefix: str) -> None:
        self.element = element
        self.lines: list[str] = []
        self._condition = "i1" if element == "double" else f"<{VECTOR_WIDTH} x i1>"
        self._prefix = prefix
        self._known: dict[str, str] = {}
        #: Lines that come before the loop: vectors of constants.
        self.preamble: list[str] = []

    def value(self, node: Node, inputs: list[str]) -> _Value:
        """Emit the tree and name its value."""
        if isinstance(node, Number):
            return _Value(self.constant(node.value))
        if isinstance(node, Input):
            return _Value(inputs[node.index])
        if isinstance(node, Neg):
            operand = self.value(node.operand, inputs)
            return _Value(
                self.emit(f"fneg {self.element} {operand.real}"),
                operand.imag and self.emit(f"fneg {self.element} {operand.imag}"),
            )
        base = self.value(node.left, inputs)
        if node.operator == "**":
            exponent = integer_exponent(node.right)
            if exponent is not None and abs(exponent) <= LARGEST_MULTIPLIED_EXPONENT:
                return self._whole_power(base, exponent)
            return self._power(base, self.value(node.right, inputs), exponent is not None)
        other = self.value(node.right, inputs)
        return {
            "+": self._add,
            "-": self._subtract,
            "*": self._multiply,
            "/": self._divide,
        }[node.operator](base, other)

    def constant(self, value: float) -> str:
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        literal = f"0x{bits:016X}"
        if self.element == "double":
            return literal
        name = f"%k_{bits:016X}"
        if name not in self._known:
            self._known[name] = name
            self.preamble += _splat(name, literal)
        return name

    def emit(self, operation: str) -> str:
        name = self._known.get(operation)
        if name is None:
            name = f"%{self._prefix}{len(self.lines)}"
            self._known[operation] = name
            self.lines.append(f"  {name} = {operation}")
        return name

    def _op(self, operation: str, left: str, right: str) -> str:
        return self.emit(f"{operation} {self.element} {left}, {right}")

    def _add(self, left: _Value, right: _Value) -> _Value:
        imag = left.imag or right.imag
        if left.imag and right.imag:
            imag = self._op("fadd", left.imag, right.imag)
        return _Value(self._op("fadd", left.real, right.real), imag)

    def _subtract(self, left: _Value, right: _Value) -> _Value:
        imag = left.imag
        if right.imag and left.imag:
            imag = self._op("fsub", left.imag, right.imag)
        elif right.imag:
            imag = self.emit(f"fneg {self.element} {right.imag}")
        return _Value(self._op("fsub", left.real, right.real), imag)

    def _multiply(self, left: _Value, right: _Value) -> _Value:
        real = self._op("fmul", left.real, right.real)
        if left.imag and right.imag:
            product = self._unless_zero(left.imag, self._op("fmul", left.imag, right.imag))
            product = self._unless_zero(right.imag, product)
            crossed = self._op(
                "fadd", self._scaled(right.imag, left.real), self._scaled(left.imag, right.real)
            )
            return _Value(self._op("fsub", real, product), crossed)
        if left.imag:
            return _Value(real, self._scaled(left.imag, right.real))
        return _Value(real, right.imag and self._scaled(right.imag, left.real))

    def _divide(self, left: _Value, right: _Value) -> _Value:
        over_real = _Value(
            self._op("fdiv", left.real, right.real),
            left.imag and self._unless_zero(left.imag, self._op("fdiv", left.imag, right.real)),
        )
        if not right.imag:
            return over_real
        # Smith's method, as in NumPy: scale by the larger part of the divisor.
        a, b, c, d = left.real, left.imag or self.constant(0.0), right.real, right.imag
        wide = self.emit(f"fcmp oge double {self._magnitude(c)}, {self._magnitude(d)}")
        larger, smaller = self._select(wide, c, d), self._select(wide, d, c)
        ratio = self._op("fdiv", smaller, larger)
        scale = self._op("fadd", larger, self._op("fmul", smaller, ratio))
        a_ratio, b_ratio = self._op("fmul", a, ratio), self._op("fmul", b, ratio)
        real = self._select(wide, self._op("fadd", a, b_ratio), self._op("fadd", a_ratio, b))
        imag = self._select(wide, self._op("fsub", b, a_ratio), self._op("fsub", b_ratio, a))
        is_real = self._is_zero(d)
        return _Value(
            self._select(is_real, over_real.real, self._op("fdiv", real, scale)),
            self._select(
                is_real, over_real.imag or self.constant(0.0), self._op("fdiv", imag, scale)
            ),
        )

    def _whole_power(self, base: _Value, exponent: int) -> _Value:
        """Repeated squaring, from the exponent's highest bit down."""
        one = _Value(self.constant(1.0))
        if exponent == 0:
            return one
        power = base
        for bit in bin(abs(exponent))[3:]:
            power = self._multiply(power, power)
            if bit == "1":
                power = self._multiply(power, base)
        return power if exponent > 0 else self._divide(one, power)

    def _power(self, base: _Value, exponent: _Value, is_whole: bool) -> _Value:
        if is_whole and not base.imag:
            return _Value(
                self.emit(f"call double @{_REAL_POWER}(double {base.real}, double {exponent.real})")
            )
        zero = self.constant(0.0)
        arguments = (base.real, base.imag or zero, exponent.real, exponent.imag or zero)
        typed = ", ".join(f"double {argument}" for argument in arguments)
        pair = self.emit(f"call {_PAIR} @{COMPLEX_POWER_NAME}({typed})")
        return _Value(
            self.emit(f"extractvalue {_PAIR} {pair}, 0"),
            self.emit(f"extractvalue {_PAIR} {pair}, 1"),
        )

    def _unless_zero(self, factor: str, value: str) -> str:
        """Zero where the imaginary part `factor` is zero, so that reals stay real next to inf."""
        return self._select(self._is_zero(factor), self.constant(0.0), value)

    def _is_zero(self, value: str) -> str:
        return self.emit(f"fcmp oeq {self.element} {value}, {self.constant(0.0)}")

    def _scaled(self, imag: str, factor: str) -> str:
        return self._unless_zero(imag, self._op("fmul", imag, factor))

    def _magnitude(self, value: str) -> str:
        return self.emit(f"call double @llvm.fabs.f64(double {value})")

    def _select(self, condition: str, left: str, right: str) -> str:
        return self.emit(
            f"select {self._condition} {condition}, {self.element} {left}, {self.element} {right}"
        )


class _ZeroProductBody(_Body):
    """Emits `Arithmetic.ZERO_PRODUCTS`."""

    def _multiply(self, left: _Value, right: _Value) -> _Value:
        product = super()._multiply(left, right)
        for factor in (right, left):
            is_zero = self._is_zero(factor.real)
            if factor.imag:
                is_zero = self.emit(f"and i1 {is_zero}, {self._is_zero(factor.imag)}")
            product = _Value(
                self._select(is_zero, factor.real, product.real),
                product.imag and self._select(is_zero, self.constant(0.0), product.imag),
            )
        return product

    def _divide(self, left: _Value, right: _Value) -> _Value:
        return self._multiply(left, super()._divide(_Value(self.constant(1.0)), right))


_BODIES = {Arithmetic.IEEE: _Body, Arithmetic.ZERO_PRODUCTS: _ZeroProductBody}


def needs_scalar_arithmetic(tree: Node) -> bool:
    """Whether the tree calls a power, which has no vector form, or may leave the real numbers."""
    for node in walk(tree):
        if isinstance(node, Binary) and node.operator == "**":
            exponent = integer_exponent(node.right)
            if exponent is None or abs(exponent) > LARGEST_MULTIPLIED_EXPONENT:
                return True
    return False


def generate(
    expression: Expression,
    uniform: Collection[str] = (),
    arithmetic: Arithmetic = Arithmetic.IEEE,
) -> str:
    """LLVM IR of both functions of an expression.

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
    str
        A module that defines `SCALAR_NAME` and `ARRAY_NAME`:
        ``double f(double x_0, ...)`` and
        ``void f(int64_t n, const double* x_0, ..., double* out)``.
    """
    uniform_indices = {expression.inputs.index(name) for name in uniform}
    make_body = _BODIES[arithmetic]
    functions = "\n".join(
        (
            _scalar_function(expression, make_body),
            _array_function(expression, uniform_indices, make_body),
        )
    )
    declarations = [line for name, line in _RULE_DECLARATIONS.items() if f"@{name}(" in functions]
    return "\n".join((*declarations, functions))


def _scalar_function(expression: Expression, make_body: type[_Body]) -> str:
    names = [f"%x_{index}" for index in range(len(expression.inputs))]
    body = make_body("double", "s")
    result = body.value(expression.tree, names).real
    parameters = ", ".join(f"double {name}" for name in names)
    return "\n".join(
        (
            f"define double @{SCALAR_NAME}({parameters}) {{",
            *body.lines,
            f"  ret double {result}",
            "}",
        )
    )


def _array_function(expression: Expression, uniform: set[int], make_body: type[_Body]) -> str:
    """Whole vectors first where the rule has a vector form, then the rest one by one."""
    count = len(expression.inputs)
    parameters = ["i64 %n", *(f"ptr %p_{index}" for index in range(count)), "ptr %out"]
    head = [f"define void @{ARRAY_NAME}({', '.join(parameters)}) {{", "entry:"]
    head += [f"  %u_{index} = load double, ptr %p_{index}, align 8" for index in sorted(uniform)]
    values = [f"%{'u' if index in uniform else 'e_x'}_{index}" for index in range(count)]
    if needs_scalar_arithmetic(expression.tree):
        # Long code with calls: not twice.
        arguments = ", ".join(f"double {value}" for value in values)
        work = [f"  %e_value = call double @{SCALAR_NAME}({arguments})"]
        loop = [*_elements(count, uniform, "0", "entry", work, "%e_value")]
    else:
        body = make_body("double", "t")
        result = body.value(expression.tree, values).real
        loop = [
            *_vectors(expression, uniform, make_body),
            *_elements(count, uniform, "%start", "rest", body.lines, result),
        ]
    return "\n".join((*head, *loop, "done:", "  ret void", "}"))


def _vectors(expression: Expression, uniform: set[int], make_body: type[_Body]) -> list[str]:
    """The loop over whole vectors; afterwards ``%start`` is the first element that is left."""
    count = len(expression.inputs)
    vector = f"<{VECTOR_WIDTH} x double>"
    body = make_body(vector, "v")
    values = [f"%u_{i}_all" if i in uniform else f"%v_x_{i}" for i in range(count)]
    result = body.value(expression.tree, values).real
    splats = [line for i in sorted(uniform) for line in _splat(f"%u_{i}_all", f"%u_{i}")]
    return [
        *splats,
        *body.preamble,
        f"  %whole = and i64 %n, -{VECTOR_WIDTH}",
        "  %has_whole = icmp sgt i64 %whole, 0",
        "  br i1 %has_whole, label %vectors, label %rest",
        "vectors:",
        "  %v = phi i64 [ 0, %entry ], [ %v_next, %vectors ]",
        *_loads(count, uniform, vector, "v"),
        *body.lines,
        "  %v_out = getelementptr double, ptr %out, i64 %v",
        f"  store {vector} {result}, ptr %v_out, align 8",
        f"  %v_next = add nuw nsw i64 %v, {VECTOR_WIDTH}",
        "  %v_more = icmp slt i64 %v_next, %whole",
        "  br i1 %v_more, label %vectors, label %rest",
        "rest:",
        "  %start = phi i64 [ 0, %entry ], [ %whole, %vectors ]",
    ]


def _elements(
    count: int, uniform: set[int], start: str, source: str, work: list[str], result: str
) -> list[str]:
    """The loop over single elements from ``start`` on, entered from the block ``source``."""
    return [
        f"  %has_more = icmp slt i64 {start}, %n",
        "  br i1 %has_more, label %elements, label %done",
        "elements:",
        f"  %e = phi i64 [ {start}, %{source} ], [ %e_next, %elements ]",
        *_loads(count, uniform, "double", "e"),
        *work,
        "  %e_out = getelementptr double, ptr %out, i64 %e",
        f"  store double {result}, ptr %e_out, align 8",
        "  %e_next = add nuw nsw i64 %e, 1",
        "  %e_more = icmp slt i64 %e_next, %n",
        "  br i1 %e_more, label %elements, label %done",
    ]


def _splat(name: str, value: str) -> list[str]:
    """Make a vector of equal elements, through memory."""
    vector = f"<{VECTOR_WIDTH} x double>"
    lines = [f"  {name}_at = alloca {vector}, align {8 * VECTOR_WIDTH}"]
    for index in range(VECTOR_WIDTH):
        lines += [
            f"  {name}_{index} = getelementptr double, ptr {name}_at, i64 {index}",
            f"  store double {value}, ptr {name}_{index}, align 8",
        ]
    return [*lines, f"  {name} = load {vector}, ptr {name}_at, align {8 * VECTOR_WIDTH}"]


def _loads(count: int, uniform: set[int], element: str, letter: str) -> list[str]:
    """Read the inputs which vary, at index ``%<letter>``, into ``%<letter>_x_<input>``."""
    lines = []
    for index in range(count):
        if index not in uniform:
            name = f"%{letter}_x_{index}"
            lines += [
                f"  {name}_at = getelementptr double, ptr %p_{index}, i64 %{letter}",
                f"  {name} = load {element}, ptr {name}_at, align 8",
            ]
    return lines
