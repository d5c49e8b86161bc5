"""NEST with the modules of this project, and golden data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulations import kernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

MODULE = "us_sympy_synapse_module"


@pytest.fixture
def prepare_nest() -> Callable[..., ModuleType]:
    """Return a function that resets the kernel and returns NEST with the module loaded."""

    def prepare(dt_ms: float = 0.1, n_threads: int = 1) -> ModuleType:
        nest = kernel.prepare(dt_ms)
        nest.local_num_threads = n_threads
        return kernel.install(nest, [MODULE])

    return prepare
