"""The simulator in this process: loading it, and telling its faults from those of rules."""

from __future__ import annotations

from nest_build import ModulesNotBuilt

#: Errors that say that this machine cannot simulate: no rule is to blame.
MachineFault = (ImportError, OSError, MemoryError, ModulesNotBuilt)


def load_simulator() -> None:
    """Load NEST and what else takes time, in a process that does not fork any more."""
    from nest_build.rules import compile_rule, parse
    from simulations import kernel

    compile_rule(parse("x_0 + 1", ["x_0"]))
    kernel.prepare(dt_ms=0.1)
