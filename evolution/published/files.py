"""Files of strangers: pickles of plain containers and arrays, ``.npy``, JSON and text."""

from __future__ import annotations

import io
import json
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

#: Larger files are refused.
MAX_BYTES = 64 * 2**20


class BrokenFile(ValueError):
    """A file cannot be read, or does not hold what it should; says why in one sentence."""


def read_pickle(path: Path) -> Any:
    """Return what a pickle holds: numbers, text, containers of them and numeric arrays.

    Nothing else is ever imported or called, whatever the file asks for.

    Raises
    ------
    BrokenFile
    """
    try:
        return _PlainUnpickler(io.BytesIO(_bytes(path))).load()
    except BrokenFile:
        raise
    except Exception as error:
        # A damaged pickle can raise anything.
        raise BrokenFile(f"It is no pickle that can be read ({type(error).__name__}).") from None


def read_npy(path: Path) -> np.ndarray:
    """Return an array of numbers.

    Raises
    ------
    BrokenFile
    """
    try:
        array = np.load(io.BytesIO(_bytes(path)), allow_pickle=False)
    except BrokenFile:
        raise
    except (ValueError, OSError, EOFError, MemoryError):
        raise BrokenFile("It is no array of numbers in NumPy's format.") from None
    return numbers(array)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object.

    Raises
    ------
    BrokenFile
    """
    try:
        value = json.loads(_bytes(path))
    except (ValueError, RecursionError):
        raise BrokenFile("It is no JSON.") from None
    if not isinstance(value, dict):
        raise BrokenFile("It is no JSON object.")
    return value


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises
    ------
    BrokenFile
    """
    try:
        return _bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise BrokenFile("It is no text.") from None


def numbers(value: Any, n_dimensions: int | None = None) -> np.ndarray:
    """Return an array as double precision numbers.

    Raises
    ------
    BrokenFile
        If it is none, or has another number of dimensions.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise BrokenFile("It holds something else where an array of numbers is expected.")
    if n_dimensions is not None and value.ndim != n_dimensions:
        raise BrokenFile(f"Its array has {value.ndim} dimensions instead of {n_dimensions}.")
    return value.astype(np.float64)


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BrokenFile(f"It is larger than {MAX_BYTES // 2**20} MB.")
        return path.read_bytes()
    except OSError as error:
        raise BrokenFile(f"It cannot be read: {error.strerror}.") from None


# What pickles of NumPy arrays name. The array type itself is only ever an argument.
_ARRAY_TYPE = object()


def _empty_array(subtype: object, shape: object, kind: object) -> np.ndarray:
    if subtype is not _ARRAY_TYPE or shape != (0,) or kind not in {b"b", "b"}:
        raise BrokenFile("It holds an array of a kind that is not admitted.")
    return np.empty(0, dtype=np.int8)


def _number_type(name: object, *_: object) -> np.dtype:
    if not isinstance(name, str) or np.dtype(name).kind not in "biuf":
        raise BrokenFile("It holds an array of something other than numbers.")
    # A copy: the file may give it another order of bytes.
    return np.dtype(name, False, True)


def _latin_bytes(text: object, encoding: object) -> bytes:
    # How old protocols write bytes.
    if not isinstance(text, str) or encoding != "latin1":
        raise BrokenFile("It holds bytes in a form that is not admitted.")
    return text.encode("latin1")


_ADMITTED = {
    ("_codecs", "encode"): _latin_bytes,
    ("numpy", "ndarray"): _ARRAY_TYPE,
    ("numpy", "dtype"): _number_type,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise BrokenFile(
                f"It asks for {module[:60]}.{name[:60]}: only plain containers and arrays of "
                "numbers are admitted."
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise BrokenFile("It refers to objects outside of the file.")
