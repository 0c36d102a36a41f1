"""A name at a broker: one agent of this computer has it at a time."""

import contextlib
import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.errors import NameInUseError
from quartet.address import Address
from quartet.errors import InUseError
from quartet.foreign import shown
from quartet.lock import FileLock, for_all_users

log = logging.getLogger(__name__)


@contextmanager
def claimed(agent_id: str, brokers: Sequence[Address]) -> Iterator[None]:
    """Have the name at each of the brokers while entered.

    NameInUseError where another agent of this computer has it: the broker would end the stream
    of whoever came first, and then the other's, without end.
    """
    with contextlib.ExitStack() as claims:
        for broker in brokers:
            try:
                claims.enter_context(_locked(_path(agent_id, broker)))
            except InUseError as error:
                raise NameInUseError(
                    f"another agent on this computer streams to {broker} as {agent_id} (process"
                    f" {error.owner}): stop that one, or give each an agent.id of its own"
                ) from None
            except OSError as error:  # the broker tells the two apart, only later
                log.debug("the name is not locked: %s", shown(error.strerror))
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path, shared=True)
    while not lock.is_in_place():  # its owner was just about to remove it
        lock.close()
        lock = FileLock(path, shared=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        lock.close()


def _path(agent_id: str, broker: Address) -> Path:
    # A digest, so that the name of the file stays short; an agent's id is short and plain.
    digest = zlib.crc32(str(broker).lower().encode())
    return for_all_users(f"quartet-agent-{agent_id}-{digest:08x}")
