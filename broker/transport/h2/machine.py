"""The state machine of the library h2, set up as a connection of ours needs it."""

from h2.config import H2Configuration
from h2.connection import H2Connection
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
    made.decoder.max_header_list_size = _MOST_HEADER_BYTES
    made.initiate_connection()
    made.receive_data(frames.PREFACE)
    made.data_to_send()  # GREETING goes out in place of its own
    return made
