"""How static files are named and stored."""

from __future__ import annotations

from typing import Any

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    """Compressed files whose names hold a digest, so that browsers may keep them for ever.

    Before ``collectstatic`` has run (in tests, for example) a file keeps its plain name, where
    whitenoise would raise an error.
    """

    manifest_strict = False

    def hashed_name(self, name: str, content: Any = None, filename: str | None = None) -> str:
        """Return the name with a digest, or the plain name of a file that is not collected."""
        if content is None and not self.exists(name.partition("?")[0].partition("#")[0]):
            return name
        return super().hashed_name(name, content, filename)
