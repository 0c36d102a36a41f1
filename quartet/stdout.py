"""Standard output, with a failure that cannot be taken for another one."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import TextIOWrapper

from quartet.errors import StdoutError

_DESCRIPTOR = 1


@contextmanager
def checked() -> Iterator[None]:
    """Have what cannot be printed raise StdoutError, or BrokenPipeError where nobody reads.

    It is raised once: what is printed from then on is dropped, also at the interpreter's end.
    Main thread only.
    """
    if sys.stdout is None and _is_closed():
        _occupy()
        sys.stdout = open(_DESCRIPTOR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    stream = sys.stdout
    if not isinstance(stream, TextIOWrapper):
        yield
        return
    output = _Checked(
        stream.buffer,
        *(stream.encoding, stream.errors),
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    with redirect_stdout(output):
        try:
            yield
        finally:
            output.detach()


@contextmanager
def dispensable() -> Iterator[None]:
    """Have what cannot be printed dropped: no service ends for a line of it, or of its predictor.

    Main thread only.
    """
    output = sys.stdout
    if not isinstance(output, _Checked):
        yield
        return
    output.is_dispensable = True
    try:
        yield
    finally:
        output.flush()
        output.is_dispensable = False


class _Checked(TextIOWrapper):
    is_dispensable = False

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if self.is_dispensable:
            return
        if isinstance(error, BrokenPipeError):
            raise error
        raise StdoutError(f"cannot write the output: {error.strerror}") from error


def _is_closed() -> bool:
    try:
        os.fstat(_DESCRIPTOR)
    except OSError as error:
        return error.errno == errno.EBADF
    return False


def _occupy() -> None:
    """Open something under the closed number that takes no byte; otherwise a store may get it."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    if nowhere != _DESCRIPTOR:
        os.dup2(nowhere, _DESCRIPTOR)
        os.close(nowhere)
