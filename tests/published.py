"""The authors' published data, where it is beside the project: read without trust."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolution.published import files

DIRECTORY = Path(__file__).resolve().parents[2] / "shared" / "published"
needs_published = pytest.mark.skipif(
    not DIRECTORY.exists(), reason="the published results (../shared/published) are not here"
)


def raw(pattern: str) -> Path:
    """Return the one file of the authors' folder that the pattern names."""
    (path,) = (DIRECTORY / "raw").glob(pattern)
    return path


def runs(learning_task_name: str) -> list[dict[str, Any]]:
    """Return the published runs of a learning task."""
    path = DIRECTORY / f"{learning_task_name.replace('-', '_')}.json"
    return json.loads(path.read_text())["runs"]


def object_array(path: Path) -> np.ndarray:
    """Return an array of arrays of numbers, as the authors saved spike trains."""
    file = io.BytesIO(path.read_bytes())
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return _Unpickler(file).load()


class _Unpickler(files._PlainUnpickler):
    """Admits arrays of arrays and single numbers besides."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "dtype"):
            return lambda kind, *_: np.dtype("O") if kind == "O8" else files._number_type(kind)
        if (module, name) == ("numpy.core.multiarray", "scalar"):
            return lambda kind, data: np.frombuffer(data, kind)[0]
        return super().find_class(module, name)
