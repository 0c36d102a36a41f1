"""Several brokers with one database: which of them owns which line, and what the database is."""

from dataclasses import dataclass

from quartet.foreign import shown


@dataclass(frozen=True, slots=True)
class FleetBroker:
    """A broker process that runs."""

    name: str
    """Its host and its process."""
    since_ns: int


@dataclass(frozen=True, slots=True)
class Ownership:
    """Which broker claimed an agent's line last."""

    agent_id: str
    broker: str | None
    """None: it was given back, or that broker is long gone."""
    is_running: bool
    since_ns: int
    committed_at_ns: int
    """When the latest commit of the line was made."""


@dataclass(frozen=True, slots=True)
class Standby:
    """A standby of the server, as the server sees it."""

    name: str
    state: str
    confirms: bool
    """Whether commits may wait for it."""
    behind_bytes: int | None
    behind_s: float | None
    """None: nothing was written lately."""

    def __str__(self) -> str:
        behind = [] if self.behind_bytes is None else [f"{self.behind_bytes / 1000:.0f} kB"]
        if self.behind_s is not None:
            behind.append(f"{self.behind_s:.1f} s")
        does = "confirms" if self.confirms else "does not confirm"
        late = f", {' and '.join(behind)} behind" if behind else ""
        return f"{shown(self.name)} {does} commits{late}"


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """The server that was asked."""

    address: str
    """Its host and port; empty: a Unix socket leads to it."""
    is_standby: bool
    behind_s: float | None
    """Of a standby: how old the newest commit is that it shows; 0: it has received no more."""
    confirming: str
    """Its `synchronous_standby_names`; empty: commits wait for no standby."""
    standbys: tuple[Standby, ...] | None
    """None: this user may not see them."""

    @property
    def waits(self) -> bool:
        """Whether commits wait for a standby, and none is there that could confirm them."""
        if self.is_standby or not self.confirming or self.standbys is None:
            return False
        return not any(each.confirms for each in self.standbys)

    def __str__(self) -> str:
        if self.is_standby:
            return "a standby" + (f", {self.behind_s:.1f} s behind" if self.behind_s else "")
        if self.waits:
            said = [f"COMMITS WAIT for {shown(self.confirming)}, and none of them is connected"]
        elif not self.confirming:
            said = ["no standby confirms commits"]
        else:
            said = [f"commits wait for {shown(self.confirming)}"]
        if self.standbys is None:
            said.append(
                "this user cannot see the standbys: as administrator of the server, run"
                " GRANT pg_monitor TO this user"
            )
        return "; ".join(["the primary", *said, *map(str, self.standbys or ())])


@dataclass(frozen=True, slots=True)
class Fleet:
    """All of it at one moment."""

    at_ns: int
    """By the server's clock, as all times of the records are."""
    server: DatabaseServer
    brokers: tuple[FleetBroker, ...]
    """Those that run."""
    owners: tuple[Ownership, ...]
    """By agent id."""
