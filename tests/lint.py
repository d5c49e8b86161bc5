"""The checks of the sources: ``python -m tests.lint`` runs them, ``--fix`` lets formatters write.

Each is a test as well (``test_lint.py``), so that the closing line of pytest tells the whole truth.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
# Modules, not the scripts beside Python: those hold absolute paths and break when moved.
_PYTHON = [sys.executable, "-m"]
_IMPORT_LINTER = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"


def cpp_sources() -> list[str]:
    """Return the C++ files, relative to the project directory."""
    files = (PROJECT_ROOT / "nest_build" / "src").rglob("*")
    return sorted(
        os.path.relpath(file, PROJECT_ROOT) for file in files if file.suffix in {".h", ".cpp"}
    )


def _clang_format(*options: str) -> list[str]:
    from clang_format import get_executable

    return [get_executable("clang-format"), *options, *cpp_sources()]


def checks() -> dict[str, list[str]]:
    """Return the commands by name; each ends with exit code 0 if there is nothing to mend."""
    return {
        "ruff": [*_PYTHON, "ruff", "check", "--quiet", "--output-format", "concise", "."],
        "ruff-format": [*_PYTHON, "ruff", "format", "--quiet", "--diff", "."],
        "layers": [sys.executable, "-c", _IMPORT_LINTER],
        "templates": [*_PYTHON, "djlint", "--quiet", "--lint", "templates"],
        "clang-format": _clang_format("--dry-run", "--Werror"),
        "migrations": [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
    }


def fixes() -> dict[str, list[str]]:
    """Return the commands that rewrite sources, by name."""
    return {
        "ruff": [*_PYTHON, "ruff", "check", "--quiet", "--fix-only", "."],
        "ruff-format": [*_PYTHON, "ruff", "format", "."],
        "clang-format": _clang_format("-i"),
    }


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a check in the project directory and return its outcome."""
    return subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        stdin=subprocess.DEVNULL,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def main() -> int:
    """Run all checks; return 1 if one of them found something."""
    parser = argparse.ArgumentParser(prog="tests.lint", description=__doc__)
    parser.add_argument("--fix", action="store_true", help="rewrite the sources where that helps")
    failed = []
    for name, command in (fixes() if parser.parse_args().fix else checks()).items():
        outcome = run(command)
        sys.stdout.write(f"{name}: {'ok' if outcome.returncode == 0 else 'failed'}\n")
        if outcome.returncode != 0:
            failed.append(name)
            sys.stdout.write(outcome.stdout)
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
