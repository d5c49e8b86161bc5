"""Where things live on disk: the project and its run-time data (standard library only)."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def data_directory() -> Path:
    """Return the directory of all run-time data: ``E2L_DATA_DIR``, else ``var/`` in the project."""
    configured = os.environ.get("E2L_DATA_DIR", "").strip()
    return Path(configured).expanduser().resolve() if configured else PROJECT_ROOT / "var"


def shown(path: Path) -> str:
    """Return ``path`` for a message: relative to the project where it lies inside."""
    return str(path.relative_to(PROJECT_ROOT) if path.is_relative_to(PROJECT_ROOT) else path)
