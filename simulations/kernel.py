"""The NEST kernel of this process; the only module that imports NEST.

There is one kernel per process. Import NEST (that is, call :func:`prepare`) only in processes
that do not fork any more.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import nest_build

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

#: Time for which a simulation holds the interpreter, in s.
_PART_S = 0.5


def prepare(dt_ms: float, modules: Iterable[str] = ()) -> ModuleType:
    """Reset the kernel and return NEST, ready to build a network.

    The kernel has one virtual process, so that results do not depend on the machine, and prints
    errors only.

    Parameters
    ----------
    dt_ms : float
        Length of a simulation step, in ms.
    modules : iterable of str
        Names of the extension modules to load.

    Raises
    ------
    nest_build.ModulesNotBuilt
        If a module has not been built.
    """
    nest = _import_nest()
    nest.ResetKernel()
    nest.set(
        total_num_virtual_procs=1,
        resolution=dt_ms,
        verbosity=nest.VerbosityLevel.ERROR,
        print_time=False,
    )
    return install(nest, modules)


def install(nest: ModuleType, modules: Iterable[str]) -> ModuleType:
    """Load extension modules into the kernel; possible until the first node is created."""
    for module in modules:
        nest.Install(nest_build.module_path(module))
    return nest


def run(n_slices: int, slice_ms: float) -> None:
    """Simulate between ``nest.Prepare()`` and ``nest.Cleanup()``, in parts of half a second.

    NEST holds the interpreter while it runs, so that other threads of this process, such as the one
    that says that the worker lives, have their turn between the parts only. The result is the same.

    Parameters
    ----------
    n_slices : int
        Number of time slices to simulate.
    slice_ms : float
        Length of a slice, or of a multiple of it, in ms.
    """
    nest = _import_nest()
    # The first part tells how fast this network is.
    part = min(n_slices, 100)
    while n_slices > 0:
        start = time.perf_counter()
        nest.Run(part * slice_ms)
        elapsed_s = max(time.perf_counter() - start, 1e-6)
        n_slices -= part
        part = min(n_slices, max(1, int(part * _PART_S / elapsed_s)))


def _import_nest() -> ModuleType:
    if "nest" in sys.modules:
        return sys.modules["nest"]
    with _undisturbed_process():
        import nest
    return nest


@contextmanager
def _undisturbed_process() -> Iterator[None]:
    """Let NEST start without a banner, without our arguments and without side effects.

    NEST reads the arguments of the process, and makes all extension modules that are loaded later
    share their symbols, which those of other packages are not made for.
    """
    arguments: list[str] = sys.argv
    flags = sys.getdlopenflags()
    quiet: Any = os.environ.get("PYNEST_QUIET")
    sys.argv = arguments[:1] or [""]
    os.environ["PYNEST_QUIET"] = "1"
    try:
        yield
    finally:
        sys.argv = arguments
        sys.setdlopenflags(flags)
        if quiet is None:
            del os.environ["PYNEST_QUIET"]
        else:
            os.environ["PYNEST_QUIET"] = quiet
