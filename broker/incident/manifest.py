"""What an incident file says of itself: its member `manifest.json`."""

from typing import Annotated, Any

import msgspec

FORMAT = "quartet-incident"
VERSION = 1
"""Raised when an older version of Quartet would misread the file."""

MANIFEST = "manifest.json"
README = "README.txt"
SAMPLES = "samples.csv"
STATES = "states/"
"""How the names of the predictor's states begin."""

MOST_STATES = 1000
"""More than any file has: one for the beginning, and one for each reset."""

MOST_MANIFEST = 16 << 20
"""Bytes. Ten thousand sessions are some 4 MB; what is read of them takes many times as much."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Ns = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Text = Annotated[str, msgspec.Meta(max_length=1000)]


class Head(msgspec.Struct, frozen=True):
    """What every version of the format has."""

    format: str
    version: int
    quartet: _Text
    """The version that has made the file."""


class Member(msgspec.Struct, frozen=True):
    """A member of the file, as it is unpacked."""

    bytes: _Count
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class State(msgspec.Struct, frozen=True):
    """What the predictor was when it saw a row."""

    row: _Count
    """The number of rows before it."""
    digest: _Text
    """Of the predictor: its code, its model and its options."""
    is_fresh: bool
    """It had seen nothing: at the beginning, or after a reset."""
    member: Annotated[str, msgspec.Meta(pattern=r"\Astates/[0-9]{1,4}\Z")] | None
    """The name of the member that has the state; None: there is none."""


class Around(msgspec.Struct, frozen=True):
    """What the file is about. Times are Unix ns."""

    at_ns: _Ns
    since_ns: _Ns
    until_ns: _Ns
    session: _Text | None = None
    id: _Count | None = None
    """Of the sample, if one was given."""


class Sensor(msgspec.Struct, frozen=True):
    """What people call a sensor."""

    name: _Text
    unit: _Text = ""


class Session(msgspec.Struct, frozen=True):
    """The broker's account of one session."""

    session: _Text
    first_id: _Count | None
    last_id: _Count | None
    received: _Count
    answered: _Count
    duplicates: _Count
    refused: _Count
    gaps: _Count
    digest: _Text
    missing: list[tuple[_Count, _Count]]


class Event(msgspec.Struct, frozen=True):
    """Something that happened to the agent's line, by the broker's clock in Unix ns."""

    at_ns: _Ns
    kind: _Text
    text: str


class Use(msgspec.Struct, frozen=True):
    """A predictor by its name, with its options."""

    use: _Text
    options: dict[str, Any]


class Manifest(Head, frozen=True):
    """All of it."""

    python: _Text
    machine: _Text
    agent: _Text
    around: Around
    rows: _Count
    sensors: Annotated[list[Sensor | None], msgspec.Meta(min_length=4, max_length=4)] | None
    predictor: Use | None
    """None: its name is not known where the file was made."""
    states: Annotated[list[State], msgspec.Meta(max_length=MOST_STATES)]
    sessions: list[Session]
    events: list[Event]
    members: dict[str, Member]
