"""Command line: ``python -m nest_build build`` and ``python -m nest_build status``."""

from __future__ import annotations

import argparse
import sys

from nest_build import builder


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m nest_build", description="Build the NEST extension modules."
    )
    parser.add_argument(
        "command",
        choices=["build", "status"],
        help="build: build the modules unless they are up to date; "
        "status: exit code 0 if they are up to date, else 1",
    )
    command = parser.parse_args(arguments).command
    if command == "status":
        is_built = builder.is_built()
        _report(
            "The NEST modules are up to date." if is_built else "The NEST modules are not built."
        )
        return 0 if is_built else 1
    try:
        was_built = builder.build(_report)
    except builder.BuildError as error:
        _report(str(error))
        return 1
    _report("The NEST modules are built." if was_built else "The NEST modules are up to date.")
    return 0


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
