"""Is everything there that has to be on this machine?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

from e2l_site.doctor.findings import Finding, failure, ok, some, warning
from e2l_site.locations import PROJECT_ROOT, data_directory, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Less space than this is a failure, and less than ten times as much a warning.
NEEDED_BYTES = 200_000_000
_COMPILERS = ("c++", "g++", "clang++")
_LOAD_SIMULATOR = (
    "from evolution.services.simulator import load_simulator; load_simulator(); print('loaded')"
)


def check_python() -> Iterator[Finding]:
    """Look at the version of Python."""
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        yield ok("Python", f"Python {version} is one of those that e2l supports.")
    else:
        yield failure(
            "Python",
            f"Python {version} is none of those that e2l supports (3.11 to 3.13).",
            "Make the environment anew with another one: make clean, then "
            "make PYTHON=/path/to/python3.12 setup.",
        )


def check_packages() -> Iterator[Finding]:
    """Compare the installed packages with the lock."""
    lock = (PROJECT_ROOT / "requirements.txt").read_text(encoding="utf-8")
    missing, other = [], []
    for name, wanted, condition in re.findall(
        r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)([^\\\n]*)", lock, re.MULTILINE
    ):
        if condition.strip():  # for other versions of Python or other systems
            continue
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if found != wanted:
            other.append(f"{name} is {found} instead of {wanted}")
    remedy = "Run make setup, and start commands with .venv/bin/python."
    if missing:
        yield failure("packages", f"Not installed: {some(missing)}.", remedy)
    if other:
        yield warning("packages", f"Other versions than tested: {some(other)}.", remedy)
    if not missing and not other:
        yield ok("packages", "The packages are those of requirements.txt.")


def check_compiler() -> Iterator[Finding]:
    """Look for a C++ compiler."""
    names = os.environ.get("CXX", "").split()[:1] or [*_COMPILERS]
    found = next(filter(None, map(shutil.which, names)), None)
    if found:
        yield ok("compiler", f"The C++ compiler is {found}.")
    else:
        # Only who builds needs it: a container has the modules without it.
        yield warning(
            "compiler",
            f"No C++ compiler was found ({', '.join(names)}); built NEST modules work without.",
            "Where modules are to be built: apt install g++, or name a compiler by CXX.",
        )


def check_modules() -> Iterator[Finding]:
    """Look whether the NEST modules are built for this code, and load them in another process."""
    from nest_build import builder

    if not builder.is_built():
        yield failure(
            "NEST modules",
            "The NEST modules are missing, or were built from other sources or for another NEST.",
            "Run make modules (python -m nest_build build), then restart the workers.",
        )
        return
    done = subprocess.run(  # noqa: S603  (a fixed command)
        [sys.executable, "-c", _LOAD_SIMULATOR],
        cwd=PROJECT_ROOT, check=False, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    if done.returncode == 0 and "loaded" in done.stdout:
        yield ok("NEST modules", "NEST loads with the modules of this code.")
        return
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else f"it ended with {done.returncode}"
    yield failure(
        "NEST modules",
        f"The simulator cannot be loaded: {last}",
        "Run make clean, then make setup: both NEST and its modules are made anew.",
    )


def check_data_directory() -> Iterator[Finding]:
    """Look at the directory of run-time data: who may read it, and how much room it has."""
    directory = data_directory()
    name = shown(directory)
    if not directory.is_dir() or not os.access(directory, os.W_OK | os.X_OK):
        yield failure(
            "data directory",
            f"{name} is missing, or may not be written by this user.",
            "Run make setup, or set E2L_DATA_DIR to a directory of this user.",
        )
        return
    free = shutil.disk_usage(directory).free
    text = f"{free / 1e9:.1f} GB are free for {name}."
    remedy = "Make room, or set E2L_DATA_DIR to a directory on a larger disk."
    if free < NEEDED_BYTES:
        yield failure("disk", text, remedy)
    elif free < 10 * NEEDED_BYTES:
        yield warning("disk", text, remedy)
    else:
        yield ok("disk", text)
    open_files = [
        path
        for path in (directory / "secret_key", directory / "db.sqlite3")
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]
    is_closed = not directory.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH)
    if open_files and not is_closed:
        names = " ".join(shown(path) for path in open_files)
        yield warning("permissions", f"Others may read {names}.", f"chmod 700 {name}")
    else:
        yield ok("permissions", f"Only this user may read what is in {name}.")
