"""`broker status`: prints how all agents stand, once or each second."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from typing import TextIO

from broker.recorder.reader import Reader
from broker.status import Status, read
from quartet.clock import Clock
from quartet.columns import cut
from quartet.foreign import in_json

_EVERY_S = 1.0

# To the first place, and behind each line and the last one: delete what was there.
_HOME, _END_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


async def show(reader: Reader, *, as_json: bool, out: TextIO, clock: Clock = time) -> int:
    """Print it once; 1 if somebody must look after something. Raises StoreError."""
    status = await read(reader, clock)
    out.write((_document(status) if as_json else status.to_text()) + "\n")
    return 1 if status.needs_person else 0


async def watch(
    reader: Reader,
    *,
    as_json: bool,
    clock: Clock = time,
    out: TextIO,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Print it again and again, until it is cancelled. Raises StoreError.

    On a terminal in place of the former one, as far as there is room: the worst stands first.
    """
    while True:
        began_s = clock.monotonic()
        status = await read(reader, clock)
        if as_json:
            text = _document(status) + "\n"
        elif out.isatty():
            text = framed(status.to_text(), *shutil.get_terminal_size())
        else:
            text = status.to_text() + "\n\n"
        out.write(text)
        out.flush()
        # Of many agents a look takes long: half of the time is left to others.
        await pause(max(_EVERY_S, clock.monotonic() - began_s))


def framed(text: str, columns: int, rows: int) -> str:
    """A text as a terminal of this size can take it, over the one before."""
    lines = text.split("\n")
    if len(lines) > rows - 1:
        left_out = len(lines) - (rows - 2)
        lines = [*lines[: rows - 2], f"... {left_out} more: make the window larger"]
    return _HOME + "".join(f"{cut(line, columns)}{_END_OF_LINE}\n" for line in lines) + _REST


def _document(status: Status) -> str:
    return in_json(status.to_json())
