"""Programs in C++ that do the arithmetic of a learning task without NEST."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path

import nest_build

SOURCES = Path(nest_build.__file__).parent / "src"


def limit(
    program: str, *arguments: object, repetitions: int, sources: tuple[str, ...] = ()
) -> float:
    """Compile and run a program of this folder.

    Parameters
    ----------
    program : str
        Name of its file.
    arguments : object
        What it gets on its command line.
    repetitions : int
        How often it is run.
    sources : tuple of str
        Names of files of the NEST modules that belong to it.

    Returns
    -------
    float
        The least of the first numbers that it prints.
    """
    compiler = shutil.which("c++") or shutil.which("g++") or "clang++"
    spec = importlib.util.find_spec("nest")
    nest_folder = Path(spec.submodule_search_locations[0])
    with tempfile.TemporaryDirectory() as folder:
        executable = Path(folder) / "limit"
        # Flags as in nest_build/src/CMakeLists.txt.
        subprocess.run(
            [
                *(compiler, "-std=c++20", "-O3", "-DNDEBUG", "-ffp-contract=off"),
                *("-I", str(SOURCES), "-I", str(nest_folder / "include" / "nest")),
                str(Path(__file__).with_name(program)),
                *(str(SOURCES / source) for source in sources),
                *("-o", str(executable)),
            ],
            check=True,
        )
        command = [str(executable), *map(str, arguments)]
        measured = []
        for _ in range(repetitions):
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            measured.append(float(answer.stdout.split()[0]))
    return min(measured)
