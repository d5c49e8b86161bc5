"""What a check has found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Finding:
    """What one check has found.

    Attributes
    ----------
    check : str
        What was looked at.
    status : str
        ``ok``, ``warning`` (it works, but look after it) or ``failure``.
    text : str
        What is the case.
    remedy : str
        How to mend it; empty where nothing is to be mended.
    """

    check: str
    status: str
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(check, "ok", text)


def warning(check: str, text: str, remedy: str) -> Finding:
    """Return something to look after."""
    return Finding(check, "warning", text, remedy)


def failure(check: str, text: str, remedy: str) -> Finding:
    """Return something that does not work."""
    return Finding(check, "failure", text, remedy)


def some(names: Sequence[str]) -> str:
    """Return a few names, and how many there are besides."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def first_line(error: Exception) -> str:
    """Return what an error says, without the rest of its story."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def configured_settings() -> Any:
    """Return the settings of a configured Django, whose database answers soon or not at all."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
    import django
    from django.conf import settings

    options = settings.DATABASES["default"]["OPTIONS"]
    if options.pop("pool", None):
        options["connect_timeout"] = 5
    django.setup()
    return settings
