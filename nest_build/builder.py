"""Builds the C++ modules with CMake and Ninja, both from PyPI, against the installed NEST."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Names of the modules, as ``nest.Install`` knows them.
MODULES = (
    "us_sympy_synapse_module",
    "usrl_synapse_module",
    "stdp_sympy_synapse_module",
    "HomeostaticSTDPmodule",
)

_PACKAGE = Path(__file__).resolve().parent
SOURCES = _PACKAGE / "src"
_BUILD = _PACKAGE / "_build"
_LIBRARIES = _BUILD / "lib"
_STAMP = _LIBRARIES / "build.json"

NO_COMPILER = (
    "No C++ compiler was found: install one that knows C++20 "
    "(on Debian and Ubuntu: apt install g++), or name one by the environment variable CXX."
)
_NO_NEST = "NEST is not installed: install the Python requirements first."


class BuildError(RuntimeError):
    """The modules cannot be built; the message is one sentence for people."""


class ModulesNotBuilt(RuntimeError):
    """A module was asked for that has not been built."""


def library_path(name: str) -> Path:
    """Return the file of the built module ``name``.

    Raises
    ------
    ModulesNotBuilt
        If it has not been built yet.
    ValueError
        If there is no module of that name.
    """
    if name not in MODULES:
        raise ValueError(f"There is no NEST module {name!r}; there are: {', '.join(MODULES)}.")
    library = _LIBRARIES / f"{name}.so"
    if not library.exists():
        raise ModulesNotBuilt(
            "The NEST modules have not been built: run 'make setup', or "
            "'python -m nest_build build'."
        )
    return library


def is_built() -> bool:
    """Tell whether all modules are there, made from these sources and for the installed NEST."""
    stamp = _read_stamp()
    return (
        all((_LIBRARIES / f"{name}.so").exists() for name in MODULES)
        and stamp.get("sources") == _digest_of_sources()
        and stamp.get("nest") == _nest_version()
    )


def build(report: Callable[[str], None] = lambda line: None) -> bool:
    """Build the modules unless they are up to date.

    Safe to call from several processes at once, and while the modules are in use: a running
    process keeps the files it has loaded.

    Parameters
    ----------
    report : callable
        Called with each line of progress.

    Returns
    -------
    bool
        True if the modules were built, False if they had been up to date.

    Raises
    ------
    BuildError
        If there is no compiler or it does not accept the sources.
    """
    if _nest_version() is None:
        raise BuildError(_NO_NEST)
    with _lock(report):
        compiler = find_compiler()
        if is_built() and (compiler is None or _read_stamp().get("compiler") == _version(compiler)):
            return False
        if compiler is None:
            raise BuildError(NO_COMPILER)
        _compile(compiler, report)
        _install(compiler)
    return True


def _compile(compiler: str, report: Callable[[str], None]) -> None:
    folder = _BUILD / "cmake"
    # CMake does not forgive changes of these in a folder that it has configured.
    configuration = json.dumps([str(SOURCES), str(nest_headers()), _version(compiler)])
    remembered = folder / "configuration.json"
    if not remembered.exists() or remembered.read_text() != configuration:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    ninja = _ninja()
    report("Configuring the NEST modules")
    _run(
        [
            *(sys.executable, "-m", "cmake"),
            *("-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"),
            *("-S", str(SOURCES), "-B", str(folder)),
            f"-DCMAKE_CXX_COMPILER={compiler}",
            f"-DNEST_INCLUDE_DIR={nest_headers()}",
        ],
        lambda line: None,
    )
    remembered.write_text(configuration)
    report("Compiling the NEST modules (about a minute)")
    _run(
        [ninja, "-C", str(folder)],
        lambda line: report(line) if line.startswith("[") or "warning:" in line else None,
    )


def _install(compiler: str) -> None:
    """Put the built files in place, each at once and the stamp last."""
    _LIBRARIES.mkdir(parents=True, exist_ok=True)
    _STAMP.unlink(missing_ok=True)
    for name in MODULES:
        # A new file, not new contents: processes that have loaded the old one keep it.
        new = _LIBRARIES / f".{name}.so.new"
        shutil.copyfile(_BUILD / "cmake" / f"{name}.so", new)
        new.replace(_LIBRARIES / f"{name}.so")
    new = _STAMP.with_suffix(".new")
    new.write_text(
        json.dumps(
            {
                "sources": _digest_of_sources(),
                "nest": _nest_version(),
                "compiler": _version(compiler),
            }
        )
    )
    new.replace(_STAMP)


@contextlib.contextmanager
def _lock(report: Callable[[str], None]) -> Iterator[None]:
    """Let one process build at a time; the lock goes when the process does."""
    _BUILD.mkdir(parents=True, exist_ok=True)
    with (_BUILD / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("Waiting for another process that builds the NEST modules")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str], report: Callable[[str], None]) -> None:
    """Run ``command``, report its lines, and raise BuildError with the last ones if it fails."""
    process = subprocess.Popen(  # noqa: S603  (no shell, nothing from users)
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},
    )
    lines = []
    with process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            report(lines[-1])
    if process.returncode != 0:
        details = "\n".join(lines[-30:])
        raise BuildError(
            f"The NEST modules could not be built (a compiler for C++20 is needed):\n{details}"
        )


def find_compiler() -> str | None:
    """Return the path of the C++ compiler, None if there is none."""
    wanted = shlex.split(os.environ.get("CXX", ""))[:1]
    for name in wanted or ["c++", "g++", "clang++"]:
        path = shutil.which(name)
        if path is not None:
            return path
    return None


def _version(compiler: str) -> str:
    """Return what the compiler says of itself, with its path and the machine."""
    answer = subprocess.run(  # noqa: S603  (no shell, a path that was found)
        [compiler, "--version"], capture_output=True, text=True, errors="replace", check=False
    )
    first = answer.stdout.partition("\n")[0]
    return f"{compiler}: {first} ({platform.machine()})"


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(SOURCES)}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _nest_version() -> str | None:
    try:
        return importlib.metadata.version("nest-simulator")
    except importlib.metadata.PackageNotFoundError:
        return None


def nest_headers() -> Path:
    """Return the folder with NEST's headers, without loading NEST."""
    spec = importlib.util.find_spec("nest")
    if spec is None or not spec.submodule_search_locations:
        raise BuildError(_NO_NEST)
    return Path(spec.submodule_search_locations[0]) / "include" / "nest"


def _ninja() -> str:
    import ninja

    return str(Path(ninja.BIN_DIR) / "ninja")


def _read_stamp() -> dict[str, str]:
    try:
        stamp = json.loads(_STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}
