"""Building the modules: a copy of the package in a folder with spaces, by its command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The package in a folder of its own, not built."""
    folder = tmp_path_factory.mktemp("a folder with spaces")
    shutil.copytree(
        ROOT / "nest_build",
        folder / "nest_build",
        ignore=shutil.ignore_patterns("_build", "__pycache__"),
    )
    return folder


def start(folder, command, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "nest_build", command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
    )


def finish(process):
    stdout, stderr = process.communicate(timeout=300)
    assert stdout == ""
    return process.returncode, stderr


def library(folder):
    return folder / "nest_build" / "_build" / "lib" / "us_sympy_synapse_module.so"


def test_a_missing_compiler_is_one_clear_sentence(copy):
    code, stderr = finish(start(copy, "build", CXX="no-such-compiler"))
    assert code == 1
    assert stderr.startswith("No C++ compiler was found")
    assert stderr.count("\n") == 1
    assert finish(start(copy, "status"))[0] == 1
    code, stderr = finish(start(copy, "paths"))
    assert code == 1
    assert stderr.startswith("The NEST modules have not been built")


def test_modules_are_built_once_and_rebuilt_when_a_source_changes(copy):
    both = [finish(process) for process in [start(copy, "build"), start(copy, "build")]]
    assert [code for code, _ in both] == [0, 0]
    output = "".join(stderr for _, stderr in both)
    assert output.count("The NEST modules are built.") == 1
    assert output.count("The NEST modules are up to date.") == 1
    assert "warning" not in output
    assert finish(start(copy, "status")) == (0, "The NEST modules are up to date.\n")

    # Without a compiler, what is up to date is as good as before.
    before = library(copy).stat()
    assert finish(start(copy, "build", CXX="no-such-compiler"))[0] == 0

    source = copy / "nest_build" / "src" / "slice_propagator.cpp"
    source.write_text(source.read_text() + "\n// changed\n")
    assert finish(start(copy, "status"))[0] == 1
    with library(copy).open("rb") as loaded:
        code, stderr = finish(start(copy, "build"))
        # Whoever has loaded the old file keeps it.
        assert os.fstat(loaded.fileno()).st_ino == before.st_ino
    assert code == 0
    assert "built" in stderr
    assert library(copy).stat().st_ino != before.st_ino

    source.write_text("this is not C++")
    code, stderr = finish(start(copy, "build"))
    assert code == 1
    assert "could not be built" in stderr
    assert "error" in stderr
    assert "Traceback" not in stderr
    assert library(copy).exists()


def test_only_what_nest_needs_is_exported(copy):
    symbols = subprocess.run(
        ["nm", "-D", "--defined-only", str(library(copy))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {line.split()[-1] for line in symbols.splitlines()}
    assert {"us_sympy_synapse_module_LTX_module", "set_rule_compiler"} <= names
    # Ours are hidden; NEST's templates with our types as arguments are NEST's.
    assert [name for name in names if name.startswith(("_ZN3e2l", "_ZNK3e2l", "_ZTVN3e2l"))] == []
