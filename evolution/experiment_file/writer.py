"""Writing experiment files as a stream: no more than a few rows are in memory at a time."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING, Any

from evolution.experiment_file import layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

_CHUNK_BYTES = 2**16
#: The first moment that zip knows: of equal content the members are the same, byte by byte.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class _Sink:
    """Takes what zipfile writes, and gives it away in pieces; it cannot be rewound."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._n_bytes = 0

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self._n_bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self, at_least: int = 0) -> Iterator[bytes]:
        if self._n_bytes > at_least:
            yield b"".join(self._pieces)
            self._pieces, self._n_bytes = [], 0


class ExperimentFileWriter:
    """Writes the members one after the other; each method yields bytes of the file."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)  # type: ignore[arg-type]
        self._members: dict[str, dict[str, Any]] = {}

    def readme(self) -> Iterator[bytes]:
        """Write what the members are, for people."""
        yield from self._member(layout.README, [layout.README_TEXT])

    def text(self, name: str, value: Mapping[str, Any]) -> Iterator[bytes]:
        """Write a member that is one JSON object."""
        content = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=2) + "\n"
        yield from self._member(name, [content])

    def rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        """Write a member with one JSON object a line."""
        yield from self._member(name, map(_line, rows))

    def finish(self, *, created_at: datetime, written_by: Mapping[str, str]) -> Iterator[bytes]:
        """Write the manifest and the directory of the zip archive."""
        manifest = {
            "format": layout.FORMAT,
            "version": layout.VERSION,
            "created_at": created_at.isoformat(),
            "written_by": dict(written_by),
            "members": dict(self._members),
        }
        yield from self.text(layout.MANIFEST, manifest)
        self._zip.close()
        yield from self._sink.take()

    def _member(self, name: str, texts: Iterable[str]) -> Iterator[bytes]:
        digest = hashlib.sha256()
        n_bytes = n_rows = 0
        info = zipfile.ZipInfo(name, _ZIP_TIME)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        with self._zip.open(info, "w", force_zip64=True) as member:
            for text in texts:
                data = text.encode()
                digest.update(data)
                n_bytes += len(data)
                n_rows += 1
                member.write(data)
                yield from self._sink.take(at_least=_CHUNK_BYTES)
        self._members[name] = {"sha256": digest.hexdigest(), "bytes": n_bytes, "rows": n_rows}
        yield from self._sink.take()


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"
