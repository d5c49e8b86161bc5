"""What tests need of the system: find it, or bring it where we may.

``python -m tests.system_packages`` installs Debian's packages of what is missing when we are root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_CHROMIUM_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)


class Need(NamedTuple):
    """Something that some tests cannot do without."""

    name: str
    purpose: str
    find: Callable[[], Path | None]
    packages: tuple[str, ...]


def find_chromium() -> Path | None:
    """Return ``E2L_CHROMIUM``, else an installed Chromium or Chrome that really starts."""
    candidates = [os.environ.get("E2L_CHROMIUM", ""), *_CHROMIUM_NAMES]
    for name in candidates:
        path = shutil.which(name) if name else None
        # Ubuntu's chromium is a stub which needs snap and fails without it.
        if path and _succeeds([path, "--version"]):
            return Path(path)
    return None


def find_libfaketime() -> Path | None:
    """Return the library that makes a process see another time."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def find_slurm() -> Path | None:
    """Return the daemon of a node of Slurm, where its other parts are there as well."""
    found = [shutil.which(name) for name in ("slurmctld", "munged", "sbatch", "slurmd")]
    return Path(found[-1]) if all(found) else None


NEEDS = (
    Need("Chromium", "browser tests", find_chromium, ("chromium", "fonts-dejavu-core")),
    Need("libfaketime", "tests of jumping clocks", find_libfaketime, ("libfaketime",)),
    # About 7 s; without its recommended packages it starts no service.
    Need(
        "Slurm",
        "tests of batch jobs",
        find_slurm,
        ("slurmctld", "slurmd", "slurm-client", "munge"),
    ),
)


def install(need: Need) -> str | None:
    """Install a need with apt; return None, or the reason why it still is not there."""
    if os.geteuid() != 0:
        return f"only root may install it (apt install {need.packages[0]})"
    if shutil.which("apt-get") is None:
        return "this system has no apt-get to install it"
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", *need.packages],
    ):
        if not _succeeds(command):
            return f"'{' '.join(command)}' failed"
    return None if need.find() else "the package of this system brings none that works"


def _succeeds(command: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, check=False, capture_output=True, stdin=subprocess.DEVNULL, env=environment
    )
    return done.returncode == 0


def main() -> None:
    """Make sure that everything is there; say in one line what cannot be, and why."""
    for need in NEEDS:
        if need.find():
            continue
        sys.stdout.write(f"{need.name} for the {need.purpose} ...\n")
        sys.stdout.flush()
        started = time.monotonic()
        if reason := install(need):
            sys.stdout.write(f"No {need.name}, so no {need.purpose}: {reason}.\n")
        else:
            seconds = time.monotonic() - started
            sys.stdout.write(f"{need.name} for the {need.purpose}: {seconds:.1f} s\n")


if __name__ == "__main__":
    main()
