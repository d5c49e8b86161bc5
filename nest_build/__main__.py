"""Command line: ``python -m nest_build build``, ``status`` and ``paths``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nest_build import builder
from nest_build.attach import module_path

_PATHS_HINT = """\
A PyNEST script that runs with this Python and with {folder} on PYTHONPATH loads a module by
  import nest, nest_build
  nest.Install(nest_build.module_path("{name}"))
The path alone does for models without rules; nest_build brings the compiler of the rules."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m nest_build", description="Build the NEST extension modules."
    )
    parser.add_argument(
        "command",
        choices=["build", "status", "paths"],
        help="build: build the modules unless they are up to date; "
        "status: exit code 0 if they are up to date, else 1; "
        "paths: print for each module the path that nest.Install takes",
    )
    command = parser.parse_args(arguments).command
    if command == "status":
        is_built = builder.is_built()
        _report(
            "The NEST modules are up to date." if is_built else "The NEST modules are not built."
        )
        return 0 if is_built else 1
    if command == "paths":
        return _print_paths()
    try:
        was_built = builder.build(_report)
    except builder.BuildError as error:
        _report(str(error))
        return 1
    _report("The NEST modules are built." if was_built else "The NEST modules are up to date.")
    return 0


def _print_paths() -> int:
    try:
        paths = [module_path(name) for name in builder.MODULES]
    except builder.ModulesNotBuilt as error:
        _report(str(error))
        return 1
    sys.stdout.write("".join(f"{path}\n" for path in paths))
    sys.stdout.flush()
    folder = Path(__file__).resolve().parent.parent
    _report(_PATHS_HINT.format(folder=folder, name=builder.MODULES[0]))
    return 0


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
