"""The lines of a file as text: unpacked and decoded, never whole, from a disk or a pipe."""

import io
import os
import shlex
import sys
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn, cast

from quartet.errors import TableError

# Far above any row of a logger, and what keeps a file without line ends out of memory.
MAX_LINE_BYTES = 64 * 1024

STDIN = Path("-")

# As long as the longest of the marks below.
_MARK_BYTES = 8

_MARKS = (
    (BOM_UTF8, "utf-8-sig"),
    (BOM_UTF32_LE, "utf-32"),
    (BOM_UTF32_BE, "utf-32"),
    (BOM_UTF16_LE, "utf-16"),
    (BOM_UTF16_BE, "utf-16"),
)


class Lines:
    """Iterates over the lines of a file; `number` is that of the latest one, from 1.

    Unpacks .gz, .bz2, .xz, and a .zip with one file. The text is UTF-8, or what its mark says;
    bytes that are not come as surrogates. A line keeps its end, always a line feed; the last one
    may have none. TableError where it cannot be read, or where a line is too long.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self.cut = ""
        """Why the file ends before its end, if it does."""
        self.failure: TableError | None = None
        """What a first look met, and left to whoever reads the rows."""
        self._damaged: tuple[type[Exception], ...] = (EOFError, zlib.error)
        """What says that packed data is damaged."""
        try:
            file = _stdin() if path == STDIN else path.open("rb")
        except (OSError, ValueError) as error:
            self._unreadable(error)
        self._file = file
        try:
            self.is_seekable = path != STDIN and file.seekable()
            self._size = os.fstat(file.fileno()).st_size if self.is_seekable else 0
            head = file.peek(_MARK_BYTES)[:_MARK_BYTES]
            self._text = self._decoded(self._unpacked(head))
        except (OSError, RuntimeError, NotImplementedError, *self._damaged) as error:
            file.close()
            self._unreadable(error)
        except TableError:
            file.close()
            raise

    def __iter__(self) -> Iterator[str]:
        readline = self._text.readline
        while True:
            try:
                line = readline(MAX_LINE_BYTES + 1)
            except self._damaged as error:
                self.cut = f"the compressed data ends early or is damaged ({error})"
                return
            except UnicodeError as error:
                self.cut = f"the text ends early or is damaged ({error})"
                return
            except OSError as error:
                self._unreadable(error)
            self.number += 1
            if len(line) > MAX_LINE_BYTES:
                raise TableError(
                    f"{self.path}: line {self.number}: longer than {MAX_LINE_BYTES} bytes: this is"
                    " not a table of samples"
                )
            if not line:
                return
            yield line

    def look(self) -> Iterator[str]:
        """The lines up to one that cannot be read, which is kept in `failure`."""
        try:
            yield from self
        except TableError as error:
            self.failure = error

    @property
    def share_read(self) -> float:
        """How much of the file was read, 0 to 1; 0 where its size is not known."""
        return min(1.0, self._file.raw.tell() / self._size) if self._size else 0.0

    def close(self) -> None:
        """Close the file."""
        self._text.close()
        self._file.close()

    def _unpacked(self, head: bytes) -> IO[bytes]:
        # Few files are packed, and an agent that replays another one spares the memory.
        if head.startswith(b"\x1f\x8b"):
            import gzip  # noqa: PLC0415

            self._damaged += (gzip.BadGzipFile,)
            return cast("IO[bytes]", gzip.GzipFile(fileobj=self._file))
        if head.startswith(b"BZh"):
            import bz2  # noqa: PLC0415

            return bz2.BZ2File(self._file)
        if head.startswith(b"\xfd7zXZ\0"):
            import lzma  # noqa: PLC0415

            self._damaged += (lzma.LZMAError,)
            return lzma.LZMAFile(self._file)
        if head.startswith(b"PK\3\4"):
            return self._only_member()
        for mark, kind, advice in _FOREIGN:
            if head.startswith(mark):
                raise TableError(f"{self.path}: this is {kind}: {self._convert(advice)}")
        return self._file

    def _only_member(self) -> IO[bytes]:
        if not self.is_seekable:
            raise TableError(f"{self.path}: a zip file cannot be read from a pipe: unpack it first")
        import lzma  # noqa: PLC0415 - as above
        import zipfile  # noqa: PLC0415

        self._damaged += (zipfile.BadZipFile, lzma.LZMAError)
        packed = zipfile.ZipFile(self._file)
        names = [name for name in packed.namelist() if not name.endswith("/")]
        if "[Content_Types].xml" in names or "content.xml" in names:
            raise TableError(f"{self.path}: this is a spreadsheet: {self._convert(_SPREADSHEET)}")
        if len(names) != 1:
            listed = ", ".join(names[:5]) or "none"
            raise TableError(
                f"{self.path}: expected one file in the zip file, got {len(names)} ({listed}):"
                " unpack it, and name one of them"
            )
        return packed.open(names[0])

    def _decoded(self, file: IO[bytes]) -> io.TextIOWrapper:
        peek = getattr(file, "peek", None)
        head: bytes = peek(_MARK_BYTES) if peek else b""
        encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")
        errors = "strict" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        return io.TextIOWrapper(file, encoding, errors)

    def _convert(self, advice: str) -> str:
        path = str(self.path)
        stem = path.rpartition(".")[0] or path
        return advice.format(file=shlex.quote(path), source=repr(path), target=repr(f"{stem}.csv"))

    def _unreadable(self, error: Exception) -> NoReturn:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise TableError(f"{self.path}: cannot be read: {reason}") from error


def _stdin() -> io.BufferedReader:
    """Standard input as a file that can be closed, and leaves it open."""
    return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))


def latin(text: str) -> str:
    """A text in which bytes were no UTF-8, read as Latin-1."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text


_SPREADSHEET = "save the sheet as CSV, or run: libreoffice --headless --convert-to csv {file}"
_FOREIGN = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", _SPREADSHEET),
    (
        b"PAR1",
        "Parquet",
        "convert it to CSV (this needs pandas and pyarrow): python3 -c"
        ' "import pandas; pandas.read_parquet({source}).to_csv({target}, index=False)"',
    ),
    (
        b"TDSm",
        "TDMS",
        "convert it to CSV (this needs npTDMS and pandas): python3 -c"
        ' "from nptdms import TdmsFile; TdmsFile.read({source}).as_dataframe().to_csv({target})"',
    ),
    (b"\x89HDF", "HDF5", "export the table as CSV with the program that wrote it"),
    (b"SQLite f", "a SQLite database", "export the table as CSV, for example with sqlite3 -csv"),
)
