"""The state machine of the library h2, set up as a connection of ours needs it."""

from weakref import WeakValueDictionary

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event
from h2.settings import SettingCodes, Settings
from hyperframe.frame import SettingsFrame

from broker.transport.h2 import frames

# Each may hold a window of unread bytes. A proxy in front has the calls of many agents on one
# connection, and opens another one beyond this.
MOST_CALLS = 256

# Twice what a call may have as metadata.
_MOST_HEADER_BYTES = 16_384

# Compressed, headers take less than they count. h2 judges them once all frames of them are there.
MOST_HEADER_FRAMES_BYTES = 2 * _MOST_HEADER_BYTES

_SETTINGS = {
    SettingCodes.MAX_CONCURRENT_STREAMS: MOST_CALLS,
    SettingCodes.MAX_HEADER_LIST_SIZE: _MOST_HEADER_BYTES,
}


def _greeting() -> bytes:
    frame = SettingsFrame(0)
    frame.settings = {int(key): value for key, value in _SETTINGS.items()}
    return bytes(frame.serialize())


GREETING = _greeting()
"""The SETTINGS that the server's side of each connection starts with."""


# One call too many would end the connection: h2 permits it, and we refuse it. All connections have
# these, which never change; 5 kB each otherwise.
_PERMITTED = Settings(
    client=False, initial_values=_SETTINGS | {SettingCodes.MAX_CONCURRENT_STREAMS: MOST_CALLS + 1}
)


# What a peer says is nearly always what others have said: those that say the same share it, 4 kB
# each otherwise. A peer that says something odd, or more than there is to say, keeps its own.
_MOST_SAID = 8
_PEERS: WeakValueDictionary[tuple[tuple[int, int], ...], Settings] = WeakValueDictionary()


class _Machine(H2Connection):
    # Of calls that are over it remembers this many, of 65,536 by default.
    MAX_CLOSED_STREAMS = 256


def machine() -> H2Connection:
    """One that has sent GREETING, and has received a client's preface."""
    made = _Machine(
        H2Configuration(
            client_side=False,
            validate_inbound_headers=False,  # headers.request() does
            normalize_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
    )
    made.local_settings = _PERMITTED
    _share(made)
    made.decoder.max_header_list_size = _MOST_HEADER_BYTES
    made.initiate_connection()
    made.receive_data(frames.PREFACE)
    made.data_to_send()  # GREETING goes out in place of its own
    return made


def receive_settings(machine: H2Connection, frame: bytes) -> list[Event]:
    """What comes of a whole frame of SETTINGS. Raises as receive_data() does."""
    own = Settings(client=True)
    own.update(machine.remote_settings)
    own.acknowledge()
    machine.remote_settings = own
    events = machine.receive_data(frame)
    _share(machine)
    return events


def _share(machine: H2Connection) -> None:
    """Have what a machine knows of its peer be the same object as that of peers that are alike."""
    known = machine.remote_settings
    if len(known) <= _MOST_SAID:
        machine.remote_settings = _PEERS.setdefault(tuple(sorted(known.items())), known)
