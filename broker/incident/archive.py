"""Reads an incident file, which may come from anybody: nothing in it is trusted or unpacked."""

import csv
import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, TypeVar
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import msgspec

from broker.errors import IncidentError
from broker.incident.manifest import (
    FORMAT,
    MANIFEST,
    MOST_MANIFEST,
    README,
    SAMPLES,
    VERSION,
    Head,
    Manifest,
)
from broker.records import MAX_SNAPSHOT_BYTES
from quartet.channels import CHANNELS, Values, as_float32
from quartet.foreign import shown
from quartet.plural import counted

Kind = TypeVar("Kind", bound=Head)

# A million rows are some 110 MB, and explanations come with them.
_MOST_BYTES = {MANIFEST: MOST_MANIFEST, README: 1 << 20, SAMPLES: 1 << 30}

# The list of members at the end of a zip, which is read as a whole: some 1,000 names.
_MOST_DIRECTORY = 1 << 20
_END = struct.Struct("<4s4H2LH")
_END_MARK = b"PK\x05\x06"
_END64_MARK = b"PK\x06\x07"
_END64_SIZE = 20
_MOST_COMMENT = 0xFFFF

_ENCRYPTED = 1

_COLUMNS = 3 + CHANNELS + 3
# A cell has 131,072 characters at most: the limit of the module csv.
_MOST_IN_ROW = 1 << 19
_PIECE = 1 << 16


class Row(NamedTuple):
    """A recorded sample with its answer."""

    number: int
    """From 0."""
    time: str
    session: str
    id: int
    values: Values
    prediction: bool
    arrived: str
    said: str


class Incident:
    """An incident file that is open."""

    def __init__(self, path: Path, archive: ZipFile, manifest: Manifest) -> None:
        self._path = path
        self._archive = archive
        self.manifest = manifest

    def rows(self) -> Iterator[Row]:
        """The samples in the order in which the predictor saw them. IncidentError."""
        with self._read() as file:
            text = io.TextIOWrapper(file, "utf-8", newline="")
            lines = _Lines(text)
            table = csv.reader(lines)
            next(table, None)
            number = -1
            for number, cells in enumerate(table):
                lines.left = _MOST_IN_ROW
                try:
                    yield _row(number, cells)
                except ValueError as error:
                    raise IncidentError(
                        f"{self._path}: {SAMPLES}: row {number}: {error}: the file is damaged or"
                        " was changed"
                    ) from error
            if number + 1 != self.manifest.rows:
                raise IncidentError(
                    f"{self._path}: has {counted(number + 1, 'row')}, expected {self.manifest.rows}"
                )

    def state(self, name: str) -> bytes:
        """A state of the predictor. IncidentError."""
        with _told(self._path):
            state = _content(self._archive, name)
        if hashlib.sha256(state).hexdigest() != self.manifest.members[name].sha256:
            raise IncidentError(f"{self._path}: {name}: {_CHANGED}")
        return state

    def verify(self) -> None:
        """Read the samples as a whole. IncidentError where they are not those that were written."""
        digest = hashlib.sha256()
        with self._read() as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        if digest.hexdigest() != self.manifest.members[SAMPLES].sha256:
            raise IncidentError(f"{self._path}: {SAMPLES}: {_CHANGED}")

    @contextmanager
    def _read(self) -> Iterator[IO[bytes]]:
        with _told(self._path), self._archive.open(SAMPLES) as file:
            try:
                yield file
            except (UnicodeDecodeError, csv.Error) as error:
                raise IncidentError(
                    f"{self._path}: {SAMPLES}: is not a table ({shown(error)})"
                ) from error


class _Lines:
    """The lines of a table. A row that would fill the memory is a csv.Error."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.left = _MOST_IN_ROW
        """Characters that the present row may still have: it may go over several lines."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.left:
            raise csv.Error(f"a row has more than {_MOST_IN_ROW} characters")
        line = self._text.readline(self.left)
        if not line:
            raise StopIteration
        self.left -= len(line)
        return line


_CHANGED = "is not what was written: the file is damaged or was changed"


@contextmanager
def opened(path: Path) -> Iterator[Incident]:
    """An incident file. IncidentError for one that is none, too large, newer or damaged."""
    with ExitStack() as stack:
        with _told(path):  # and not what a caller raises
            file = stack.enter_context(path.open("rb"))
            _check_directory(path, file)
            archive = stack.enter_context(ZipFile(file))
            _check_members(path, archive)
            manifest = _manifest(path, archive)
            _check_manifest(path, archive, manifest)
            incident = Incident(path, archive, manifest)
            incident.verify()
        yield incident


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Have what a bad file raises be an IncidentError."""
    try:
        yield
    except IncidentError:
        raise
    except (
        *(BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError),
        UnicodeDecodeError,  # of the name of a member
    ) as error:
        raise IncidentError(f"{path}: is not a complete zip file ({shown(error)})") from error
    except OSError as error:
        raise IncidentError(f"{path}: cannot be read: {error.strerror or error}") from error


def _check_directory(path: Path, file: BinaryIO) -> None:
    """Refuse a list of members that would fill the memory."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END.size - _MOST_COMMENT - _END64_SIZE))
    tail = file.read()
    at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        raise IncidentError(f"{path}: is not a zip file, or was not copied to its end")
    *_, directory_size, _, _ = _END.unpack_from(tail, at)
    if directory_size > _MOST_DIRECTORY or _END64_MARK in tail[max(0, at - _END64_SIZE) : at]:
        raise IncidentError(f"{path}: is not an incident file: it has too many members")


def _check_members(path: Path, archive: ZipFile) -> None:
    """Refuse members that are too large, packed in another way, or there twice."""
    seen = set[str]()
    for member in archive.infolist():
        if member.filename in seen:
            raise IncidentError(f"{path}: has {shown(member.filename)} twice")
        seen.add(member.filename)
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED) or member.flag_bits & _ENCRYPTED:
            raise IncidentError(
                f"{path}: {shown(member.filename)}: is encrypted, or packed in an unknown way"
            )
        most = _MOST_BYTES.get(member.filename, MAX_SNAPSHOT_BYTES)
        if member.file_size > most:
            raise IncidentError(
                f"{path}: {shown(member.filename)}: unpacks to {member.file_size} bytes, at most"
                f" {most} are allowed"
            )
    for name in (MANIFEST, SAMPLES):
        if name not in seen:
            raise IncidentError(f"{path}: is not an incident file: it has no {name}")


def _manifest(path: Path, archive: ZipFile) -> Manifest:
    encoded = _content(archive, MANIFEST)
    head = _decoded(path, encoded, Head)
    if head.format != FORMAT:
        raise IncidentError(f"{path}: is not an incident file, but of format {shown(head.format)}")
    if head.version != VERSION:
        raise IncidentError(
            f"{path}: was made by another version of Quartet ({shown(head.quartet)}), with format"
            f" {head.version}; this one reads format {VERSION}: use that version"
        )
    return _decoded(path, encoded, Manifest)


def _content(archive: ZipFile, name: str) -> bytes:
    """A member as a whole. ZipFile.read() would unpack all of it, whatever size it says."""
    with archive.open(name) as file:
        return file.read(archive.getinfo(name).file_size)


def _decoded(path: Path, encoded: bytes, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(encoded, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IncidentError(f"{path}: {MANIFEST}: {shown(error)}") from error


def _check_manifest(path: Path, archive: ZipFile, manifest: Manifest) -> None:
    """Refuse members that the manifest does not name, and the other way round."""
    found = set(archive.namelist()) - {MANIFEST, README}
    states = {each.member for each in manifest.states if each.member}
    if found != set(manifest.members) or found != {SAMPLES, *states}:
        odd = sorted(found ^ {SAMPLES, *states} or found ^ set(manifest.members))
        raise IncidentError(
            f"{path}: {shown(odd[0])}: the members are not those that {MANIFEST} names"
        )
    rows = [each.row for each in manifest.states]
    if rows != sorted(rows):
        raise IncidentError(f"{path}: {MANIFEST}: the states are not in order")


def _row(number: int, cells: list[str]) -> Row:
    if len(cells) != _COLUMNS:
        raise ValueError(f"{len(cells)} cells, expected {_COLUMNS}")
    time, session, id_, *values, prediction, arrived, said = cells
    if prediction not in ("0", "1"):
        raise ValueError(f"prediction {shown(prediction)}, expected 0 or 1")
    sensors = as_float32(map(float, values))
    return Row(number, time, session, int(id_), sensors, prediction == "1", arrived, said)
