"""Reading experiment files of strangers: everything is checked, nothing is unpacked to the disk."""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from evolution.experiment_file import layout
from evolution.experiment_file.layout import BrokenExperimentFile, Configuration, Limits, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

_Row = TypeVar("_Row", bound=BaseModel)

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP64_LOCATOR_SIZE = 20
_MAX_DIRECTORY_BYTES = 4096
_BLOCK = 2**20
_IS_ENCRYPTED = 0x1
#: What a damaged member makes zipfile and zlib raise.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError)


class ExperimentFile:
    """An experiment file whose members were checked against their digests.

    Attributes
    ----------
    manifest : Manifest
    configuration : Configuration
    digest : str
        Of all data: the same for files of the same content, whenever they were written.
    """

    def __init__(self, archive: zipfile.ZipFile, limits: Limits) -> None:
        self._zip, self._limits = archive, limits
        _check_directory(archive, limits)
        self.manifest = self._text(layout.MANIFEST, Manifest)
        if self.manifest.version > layout.VERSION:
            raise BrokenExperimentFile(
                f"{layout.MANIFEST}: the file has version {self.manifest.version} of the format, "
                f"this software reads up to {layout.VERSION}. Update it."
            )
        self._check_digests()
        self.configuration = self._text(layout.CONFIGURATION, Configuration)
        members = self.manifest.members
        parts = [f"{name} {members[name].sha256}" for name in layout.DATA]
        self.digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def rows(self, name: str, row_type: type[_Row]) -> Iterator[_Row]:
        """Yield the rows of a member.

        Raises
        ------
        BrokenExperimentFile
            At the first line that is not as it should be.
        """
        validate = row_type.model_validate_json
        for number, line in enumerate(self._lines(name), start=1):
            try:
                row = validate(line)
            except ValidationError as error:
                raise broken(name, number, _words(error)) from None
            yield row

    def _lines(self, name: str) -> Iterator[bytes]:
        longest, most = self._limits.line_bytes, self._limits.rows[name]
        with self._reading(name), self._zip.open(name) as member:
            number = 0
            while line := member.readline(longest + 1):
                number += 1
                if number > most:
                    raise BrokenExperimentFile(f"{name} has more than {most} lines.")
                if len(line) > longest:
                    raise broken(name, number, f"the line is longer than {longest} bytes")
                if not line.endswith(b"\n"):
                    raise broken(name, number, "the line is cut off")
                yield line

    def _text(self, name: str, row_type: type[_Row]) -> _Row:
        size = self._zip.getinfo(name).file_size
        if size > self._limits.text_bytes:
            raise BrokenExperimentFile(f"{name} is larger than {self._limits.text_bytes} bytes.")
        with self._reading(name), self._zip.open(name) as member:
            content = member.read(size + 1)
        try:
            return row_type.model_validate_json(content)
        except ValidationError as error:
            raise BrokenExperimentFile(f"{name}: {_words(error)}.") from None

    def _check_digests(self) -> None:
        members = self.manifest.members
        wanted = set(layout.MEMBERS) - {layout.MANIFEST}
        if members.keys() != wanted:
            raise BrokenExperimentFile(
                f"{layout.MANIFEST} must name the members {', '.join(sorted(wanted))}."
            )
        for name, described in members.items():
            digest = hashlib.sha256()
            with self._reading(name), self._zip.open(name) as member:
                while block := member.read(_BLOCK):
                    digest.update(block)
            if digest.hexdigest() != described.sha256:
                raise BrokenExperimentFile(
                    f"{name} was changed or damaged: its digest is not that in {layout.MANIFEST}."
                )

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except BrokenExperimentFile:
            raise
        except _UNREADABLE as error:
            raise BrokenExperimentFile(f"{name} cannot be read: {error}.") from None


@contextmanager
def open_experiment_file(file: IO[bytes], limits: Limits | None = None) -> Iterator[ExperimentFile]:
    """Open and check an experiment file.

    Parameters
    ----------
    file : binary file
        Open for reading; it can be rewound.

    Raises
    ------
    BrokenExperimentFile
        If it is none, exceeds the limits or does not have the digests that it says.
    """
    limits = limits or Limits()
    _check_end(file, limits)
    try:
        archive = zipfile.ZipFile(file)
    except _UNREADABLE as error:
        raise BrokenExperimentFile(f"This is no experiment file: {error}.") from None
    with archive:
        yield ExperimentFile(archive, limits)


def broken(name: str, line: int, text: str) -> BrokenExperimentFile:
    """Return the error for a line of a member."""
    return BrokenExperimentFile(f"{name}, line {line}: {text}.")


def _check_end(file: IO[bytes], limits: Limits) -> None:
    """Check the end of a zip archive before zipfile reads its directory, which may be huge."""
    size = file.seek(0, 2)
    if size > limits.file_bytes:
        raise BrokenExperimentFile(f"The file is larger than {limits.file_bytes / 2**20:.0f} MiB.")
    start = max(0, size - _END.size - _ZIP64_LOCATOR_SIZE)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    if len(tail) < _END.size:
        raise BrokenExperimentFile("This is no experiment file: it is too short.")
    end = _END.unpack(tail[-_END.size :])
    signature, _, _, n_here, n_members, n_directory_bytes, _, n_comment_bytes = end
    if signature != _END_SIGNATURE or n_comment_bytes:
        raise BrokenExperimentFile(
            "This is no experiment file, or it is cut off: it does not end as one."
        )
    if tail[: -_END.size].startswith(_ZIP64_LOCATOR):
        raise BrokenExperimentFile("The file is larger than an experiment file can be.")
    if n_members != n_here or n_members != len(layout.MEMBERS):
        raise BrokenExperimentFile(
            f"An experiment file has {len(layout.MEMBERS)} members, this one has {n_members}."
        )
    if n_directory_bytes > _MAX_DIRECTORY_BYTES:
        raise BrokenExperimentFile("The directory of the file is too large.")


def _check_directory(archive: zipfile.ZipFile, limits: Limits) -> None:
    members = archive.infolist()
    names = [member.orig_filename for member in members]
    for name in names:
        if name not in layout.MEMBERS:
            raise BrokenExperimentFile(f"There may be no member {name[:80]!r} in the file.")
        if names.count(name) > 1:
            raise BrokenExperimentFile(f"The member {name} is there twice.")
    for name in layout.MEMBERS:
        if name not in names:
            raise BrokenExperimentFile(f"The member {name} is missing.")
    for member in members:
        if member.flag_bits & _IS_ENCRYPTED:
            raise BrokenExperimentFile(f"{member.filename} is encrypted.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BrokenExperimentFile(f"{member.filename} is packed in an unusual way.")
        if member.file_size > max(_BLOCK, limits.ratio * member.compress_size):
            raise BrokenExperimentFile(
                f"{member.filename} would be {member.file_size} bytes unpacked, more than "
                f"{limits.ratio:.0f} times as much as packed: it was not unpacked."
            )
    unpacked = sum(member.file_size for member in members)
    if unpacked > limits.unpacked_bytes:
        raise BrokenExperimentFile(
            f"The file would be {unpacked} bytes unpacked, more than the "
            f"{limits.unpacked_bytes} that are permitted: it was not unpacked."
        )


def _words(error: ValidationError) -> str:
    """Return the first problem of a row in words."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:100]
    text = first["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{where}: {text}" if where else text
