"""Have a broker's store fit the release that is about to start, and say what was done, in JSON.

store.py look|fit CONFIG RELEASE FORMER [ASIDE]: RELEASE starts next, in the place of FORMER; both
are directories of releases. `look` changes nothing. `fit` needs the service stopped, and its user.

A release that knows a newer schema than the store has brings it up to date, which no earlier one
can read: the store is backed up first, into `backups` beside it, where the last two stay. A
release that knows an older one gets the latest backup that it knows; the store is set aside. ASIDE
is what the same run has set aside before: it comes back where RELEASE knows it.
"""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

# Where the unit runs, and keeps its store if nothing else is configured.
_STATE = Path("/var/lib/broker")
_KEPT = 2
_NAME = re.compile(r"\.schema-(?P<schema>\d+)\.\d{8}T\d{6}Z\.db$")
_LOGS = ("-wal", "-shm")
# What must stay free of a disk, beside a backup and the room to restore it.
_SPARE_BYTES = 32 << 20
# A reader beside the stopped broker, a ledger say, may hold the log for longer: it moves along.
_BUSY_S = 1.0
ASK = "from broker.recorder.sqlite.schema import MIGRATIONS; print(len(MIGRATIONS))"


class Plan(NamedTuple):
    """What is to be done with a store before a release starts."""

    action: str
    """nothing, backup, restore, put back; or refuse, with the reason."""
    reason: str = ""
    backup: str = ""


class Store:
    """A store, and the releases between which it goes."""

    def __init__(self, config: Path, release: Path, former: Path | None) -> None:
        settings = tomllib.loads(config.read_text()) if config.exists() else {}
        recorder = settings.get("recorder", {})
        self.path = _STATE.joinpath(recorder.get("path", "broker.db"))
        # A database is brought up to date by the first broker, and backed up by its own programs.
        self.has = None if "url" in recorder else schema_of(self.path)
        self.knows = _schema_known(release)
        self._release = release
        self._former = former
        self._backups = self.path.parent / "backups"

    def plan(self, aside: Path | None) -> Plan:
        """What to do. A release that cannot tell what it knows is taken for a newer one."""
        if not self.has or self.has == self.knows:
            return Plan("nothing")
        if self.knows is None or self.has < self.knows:
            if aside and self.knows is not None and (schema_of(aside) or 0) <= self.knows:
                return Plan("put back")
            return self._plan_backup()
        for schema, backup in self._made():
            if schema <= self.knows:
                return Plan("restore", backup=str(backup))
        return Plan(
            "refuse",
            f"{self.path} has schema {self.has}, {self._release.name} knows {self.knows}, and there"
            f" is no backup of an older one in {self._backups}: deploy a newer version, or set the"
            " store aside",
        )

    def apply(self, plan: Plan, aside: Path | None) -> dict[str, str]:
        """Do it; what was done, for a person, and where the former store is now."""
        if plan.action == "backup":
            return {"said": self._back_up()}
        if plan.action == "restore":
            return self._restore(Path(plan.backup))
        if plan.action == "put back" and aside:
            away = self._aside()
            _swap(self.path, away, aside)
            return {"said": f"{self.path} is again what it was; what was used since is {away}"}
        return {"said": ""}

    def _plan_backup(self) -> Plan:
        size = sum(part.stat().st_size for part in _parts(self.path))
        free = shutil.disk_usage(self.path.parent).free
        needed = 2 * size + _SPARE_BYTES
        if free < needed:
            return Plan(
                "refuse",
                f"{free >> 20} MB are free beside {self.path}, and {needed >> 20} are needed: the"
                " new release brings the store up to date, and a copy of it is kept for a return:"
                " 'df -h' tells what is full",
            )
        return Plan("backup")

    def _back_up(self) -> str:
        self._backups.mkdir(mode=0o700, exist_ok=True)
        for left in self._backups.glob("*.new*"):
            left.unlink()
        made = self._backups / f"{self.path.stem}.schema-{self.has}.{_stamp()}.db"
        new = made.with_suffix(".db.new")
        for release in filter(None, (self._former, self._release)):
            if _call(release, "backup", new, self.path) and schema_of(new) == self.has:
                break
            new.unlink(missing_ok=True)
        else:
            _copy(self.path, new)
        new.chmod(0o600)
        new.rename(made)
        for _, old in list(self._made())[_KEPT:]:
            for part in _parts(old):
                part.unlink()
        return f"the store was backed up to {made}"

    def _restore(self, backup: Path) -> dict[str, str]:
        there = set(self.path.parent.iterdir())
        releases = sorted(filter(None, (self._former, self._release)), key=_schema_or_0)
        for release in reversed(releases):
            said = _call(release, "restore", backup, self.path)
            if said and schema_of(self.path) == schema_of(backup):
                found = set(self.path.parent.iterdir()) - there
                away = next((path for path in found if schema_of(path) == self.has), None)
                return {"said": f"{said}. {_where(away, self.path)}", "aside": str(away or "")}
        # No release can: it is one file all the same.
        new = self.path.with_name(f".{self.path.name}.new")
        _copy(backup, new)
        new.chmod(0o600)
        away = self._aside()
        _swap(self.path, away, new)
        said = f"{backup} was restored; 'broker ledger --store {away}' tells what it lacks"
        return {"said": f"{said}. {_where(away, self.path)}", "aside": str(away)}

    def _aside(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.schema-{self.has}.{_stamp()}.db")

    def _made(self) -> Iterator[tuple[int, Path]]:
        """The backups that were made here, with their schemas, the newest first."""
        named = [(path, _NAME.search(path.name)) for path in self._backups.glob("*.db")]
        found = [(path, name) for path, name in named if name]
        for path, name in sorted(found, key=lambda each: each[0].name[-19:], reverse=True):
            yield int(name["schema"]), path


def schema_of(path: Path) -> int | None:
    """The schema of a store; None where there is none, or nothing that can be read."""
    if not path.is_file():
        return None
    with suppress(sqlite3.Error), closing(_open(path)) as database:
        version: int = database.execute("PRAGMA user_version").fetchone()[0]
        return version
    return None


def _schema_known(release: Path) -> int | None:
    """The schema that a release brings a store to; also of one from before this was asked."""
    said = _run([release / "bin" / "python", "-I", "-c", ASK])
    return int(said) if said.isdigit() else None


def _schema_or_0(release: Path) -> int:
    return _schema_known(release) or 0


def _call(release: Path, verb: str, backup: Path, store: Path) -> str:
    """What `broker store VERB` says; empty where the release cannot, which is told on stderr."""
    return _run([release / "bin" / "broker", "store", verb, backup, "--store", store])


def _run(command: list[str | Path]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")  # noqa: S603
    except OSError:
        return ""
    if done.returncode:
        print(f"{command[0]}: {done.stderr.strip()[-300:]}", file=sys.stderr)  # noqa: T201
        return ""
    return done.stdout.strip() or "done"


def _open(path: Path) -> sqlite3.Connection:
    """To read alone. Where there is no log, nothing is made beside it."""
    how = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?{how}", uri=True)


def _copy(path: Path, to: Path) -> None:
    with closing(_open(path)) as database, closing(sqlite3.connect(to)) as copy:
        database.backup(copy)


def _swap(path: Path, away: Path, new: Path) -> None:
    """Put another file in the place of a store, which is `away` then, with its log.

    At each moment there is a store at `path`: a broker that finds none makes an empty one.
    """
    for each in (path, new):
        with suppress(sqlite3.Error), closing(sqlite3.connect(each, _BUSY_S)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in _LOGS:
        if (log := Path(f"{path}{suffix}")).exists():
            log.rename(f"{away}{suffix}")
    away.hardlink_to(path)
    new.replace(path)
    for suffix in _LOGS:
        if (log := Path(f"{new}{suffix}")).exists():
            log.rename(f"{path}{suffix}")


def _parts(path: Path) -> list[Path]:
    return [part for suffix in ("", *_LOGS) if (part := Path(f"{path}{suffix}")).exists()]


def _where(away: Path | None, path: Path) -> str:
    return f"The store as it was is {away or f'beside {path}'}, and is kept"


def _stamp() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def main(verb: str, config: str, release: str, former: str, aside: str = "") -> str | None:
    """Do it; an error for a person, or nothing."""
    away = Path(aside) if aside else None
    store = Store(Path(config), Path(release), Path(former) if former else None)
    plan = store.plan(away)
    if verb == "fit" and plan.action == "refuse":
        return plan.reason
    try:
        done = store.apply(plan, away) if verb == "fit" else {}
    except (OSError, sqlite3.Error) as error:
        return f"{store.path}: {plan.action} failed: {error}"
    print(json.dumps({"action": plan.action, "reason": plan.reason, **done}))  # noqa: T201
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
