"""The browser of the browser tests: find it, or bring it where we may.

``python -m tests.chromium`` installs Debian's Chromium when there is none and we are root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PACKAGES = ("chromium", "fonts-dejavu-core")


def find_chromium() -> Path | None:
    """Return ``E2L_CHROMIUM``, else an installed Chromium or Chrome that really starts."""
    candidates = [os.environ.get("E2L_CHROMIUM", ""), *_NAMES]
    for name in candidates:
        path = shutil.which(name) if name else None
        # Ubuntu's chromium is a stub which needs snap and fails without it.
        if path and _succeeds([path, "--version"]):
            return Path(path)
    return None


def install_chromium() -> str | None:
    """Install Chromium with apt; return None, or the reason why there still is none."""
    if os.geteuid() != 0:
        return "none is installed, and only root may install one (apt install chromium)"
    if shutil.which("apt-get") is None:
        return "none is installed, and this system has no apt-get to install one"
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", *_PACKAGES],
    ):
        if not _succeeds(command):
            return f"'{' '.join(command)}' failed"
    return None if find_chromium() else "the package of this system brings no browser that starts"


def _succeeds(command: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, check=False, capture_output=True, stdin=subprocess.DEVNULL, env=environment
    )
    return done.returncode == 0


def main() -> None:
    """Make sure that there is a browser; say so in one line when there cannot be one."""
    if find_chromium():
        return
    sys.stdout.write("Chromium for the browser tests ...\n")
    sys.stdout.flush()
    started = time.monotonic()
    reason = install_chromium()
    if reason:
        sys.stdout.write(f"The browser tests will be skipped, for want of a Chromium: {reason}.\n")
    else:
        sys.stdout.write(f"Chromium for the browser tests: {time.monotonic() - started:.1f} s\n")


if __name__ == "__main__":
    main()
