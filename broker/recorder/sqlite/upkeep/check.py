"""Looks at everything in a store that can be verified. Writes nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from broker.recorder.sqlite.books import SessionRow, columns, losses, unbooked
from broker.recorder.sqlite.books import sessions as read_sessions
from broker.recorder.sqlite.books import tables as read_tables
from broker.recorder.sqlite.checksums import (
    ASIDE_COLUMNS,
    LABELS_COLUMNS,
    LINE_COLUMNS,
    SAMPLE_COLUMNS,
    SESSION_COLUMNS,
    SNAPSHOT_COLUMNS,
    labels_verify,
    line_verifies,
    sample_verifies,
    session_verifies,
    snapshot_verifies,
)
from broker.recorder.sqlite.schema import MIGRATIONS, check_kind
from broker.recorder.upkeep import Findings, Problem, ranges
from broker.records import EventKind
from quartet.database import connect_to_read, integrity, transaction_to_read
from quartet.errors import DamagedError, OlderSchemaError
from quartet.plural import counted

REPAIR = "stop the broker, and run 'broker store repair'"

# Looked at in one transaction: some milliseconds, in which the file's log cannot be emptied.
_CHUNK = 500

# One finding tells that the file is torn. A torn one has thousands.
_MOST_FINDINGS = 100


def check(path: Path) -> Findings:
    """What is wrong with an existing store. StoreError for what is none, or cannot be opened."""
    findings = Findings()
    try:
        check_kind(path)
        with closing(open_any(path)) as rows:
            _check(rows, findings)
    except DamagedError as error:
        findings.problems.append(Problem(str(error), REPAIR))
        findings.is_counted = False
    except (sqlite3.Error, UnicodeDecodeError) as error:
        findings.problems.append(Problem(f"the file is damaged ({error})", REPAIR))
        findings.is_counted = False
    return findings


def open_any(path: Path) -> sqlite3.Connection:
    """Open an existing store of this version or an older one, for reading. Raises StoreError."""
    try:
        return connect_to_read(path, len(MIGRATIONS))
    except OlderSchemaError as error:
        if error.version < 1:
            raise DamagedError(f"{path}: is damaged (it has no schema)", path) from error
        return connect_to_read(path, error.version)


def _check(rows: sqlite3.Connection, findings: Findings) -> None:
    rows.text_factory = lambda raw: raw.decode(errors="replace")
    if missing := _missing_tables(rows):
        findings.problems.append(Problem(f"the schema is damaged: no {missing}", REPAIR))
        findings.is_counted = False
        return
    if found := integrity(rows, _MOST_FINDINGS):
        many = len(found) >= _MOST_FINDINGS
        count = "many findings" if many else counted(len(found), "finding")
        findings.problems.append(Problem(f"the file is damaged ({found[0]}; {count})", REPAIR))
    findings.problems += _samples(rows, findings)
    findings.problems += _snapshots(rows, findings)
    findings.problems += _asides(rows)
    findings.problems += _names(rows)
    findings.problems += _events(rows)
    findings.problems += _standings(rows)
    findings.problems += _labels(rows)
    with transaction_to_read(rows):
        findings.losses += losses(rows)
        for session in read_sessions(rows):
            findings.problems += _session(rows, session, findings)


def _missing_tables(rows: sqlite3.Connection) -> str:
    """Which table is not there; empty where all are. Overwritten names look so."""
    version = rows.execute("PRAGMA user_version").fetchone()[0]
    with closing(sqlite3.connect(":memory:")) as model:
        for script in MIGRATIONS[:version]:
            model.executescript(script)
        for table in sorted(read_tables(model)):
            if columns(model, table) != columns(rows, table):
                return f"table {table!r} as version {version} has it"
    return ""


def _samples(rows: sqlite3.Connection, findings: Findings) -> Iterator[Problem]:
    """Verify each sample; bad ones by session, as ranges of ids."""
    has_checksums = "checksum" in columns(rows, "samples")
    wanted = SAMPLE_COLUMNS if has_checksums else SAMPLE_COLUMNS.replace("checksum", "NULL")
    bad: dict[int, list[int]] = {}
    position = -(2**63)
    while chunk := rows.execute(
        f"SELECT {wanted} FROM samples WHERE position > ? ORDER BY position LIMIT ?",  # noqa: S608
        (position, _CHUNK),
    ).fetchall():
        for row in chunk:
            if not sample_verifies(row):
                bad.setdefault(row[2], []).append(row[3])
            elif row[-1] is None:
                findings.unverified += 1
        findings.samples += len(chunk)
        position = chunk[-1][0]
    for session, ids in bad.items():
        found = rows.execute(
            "SELECT agent_id, id FROM sessions JOIN lines USING (line) WHERE session = ?",
            (session,),
        ).fetchone()
        agent_id, session_id = found or (None, None)
        shown = ranges(sorted({id_ for id_ in ids if isinstance(id_, int)}))
        are = "is" if len(ids) == 1 else "are"
        what = f"{counted(len(ids), 'sample')} {are} not what was recorded (checksum)"
        yield Problem(what, REPAIR, agent_id, session_id, shown)


def _snapshots(rows: sqlite3.Connection, findings: Findings) -> Iterator[Problem]:
    """Verify each snapshot that has a checksum."""
    if "checksum" not in columns(rows, "snapshots"):
        return
    keys = rows.execute(
        "SELECT snapshots.rowid, agent_id, position FROM snapshots LEFT JOIN lines USING (line)"
    ).fetchall()
    for key, agent_id, position in keys:
        row = rows.execute(
            f"SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE rowid = ?",  # noqa: S608
            (key,),
        ).fetchone()
        findings.snapshots += row is not None  # a broker may have deleted it meanwhile
        if row and not snapshot_verifies(row):
            what = f"the snapshot at position {position} is not what was recorded (checksum)"
            yield Problem(what, REPAIR, agent_id)


def _asides(rows: sqlite3.Connection) -> Iterator[Problem]:
    """Verify each state of a former black box."""
    if not columns(rows, "asides"):
        return
    for row in rows.execute(f"SELECT {ASIDE_COLUMNS} FROM asides"):  # noqa: S608
        if not snapshot_verifies(row):
            what = f"the snapshot of a former predictor of line {row[0]} is not what was recorded"
            yield Problem(f"{what} (checksum)", REPAIR)


def _names(rows: sqlite3.Connection) -> Iterator[Problem]:
    """Verify what names each line and each session; one that does not verify is not shown."""
    if "checksum" not in columns(rows, "sessions"):
        return
    for table, wanted, verifies in (
        ("line", LINE_COLUMNS, line_verifies),
        ("session", SESSION_COLUMNS, session_verifies),
    ):
        # Not by an index, which has names of its own.
        for row in rows.execute(f"SELECT {wanted} FROM {table}s NOT INDEXED"):  # noqa: S608
            if not verifies(row):
                what = f"what names {table} {row[0]} is not what was recorded (checksum)"
                yield Problem(what, REPAIR)


def _events(rows: sqlite3.Connection) -> Iterator[Problem]:
    """Look at each event: it has no checksum, and must be of a known kind and time."""
    if not columns(rows, "events"):
        return
    known = ",".join(f"'{kind}'" for kind in EventKind)
    (count,) = rows.execute(
        f"SELECT count(*) FROM events WHERE kind NOT IN ({known}) OR typeof(at_ns) != 'integer'"  # noqa: S608
    ).fetchone()
    if count:
        yield Problem(f"{counted(count, 'event')} cannot be read", REPAIR)


def _standings(rows: sqlite3.Connection) -> Iterator[Problem]:
    """Look at how each line stands: that has no checksum either, and must be numbers and words."""
    known = columns(rows, "standings")
    kinds = dict.fromkeys(
        ("certificate_until_ns", "learned", "to_learn", "alarm_since_ns"), "integer"
    )
    kinds |= {each: "text" for each in ("alarm_reason", "shift") if each in known}
    if not known:
        return
    bad = " OR ".join(f"typeof({each}) NOT IN ('{kind}', 'null')" for each, kind in kinds.items())
    for (line,) in rows.execute(f"SELECT line FROM standings WHERE {bad} ORDER BY line"):  # noqa: S608
        yield Problem(f"how line {line} stands cannot be read", REPAIR)


def _labels(rows: sqlite3.Connection) -> Iterator[Problem]:
    """Verify what the sensors of each session are called."""
    if not columns(rows, "labels"):
        return
    for row in rows.execute(f"SELECT {LABELS_COLUMNS} FROM labels"):  # noqa: S608
        if not labels_verify(row):
            what = f"the names of the sensors of session {row[0]} are not what was recorded"
            yield Problem(f"{what} (checksum)", REPAIR)


def _session(
    rows: sqlite3.Connection, session: SessionRow, findings: Findings
) -> Iterator[Problem]:
    """Hold a session's counters against its rows."""
    whose = session.agent_id, session.session_id
    if imbalance := session.imbalance():
        yield Problem(f"the counters do not balance: {imbalance}", REPAIR, *whose)
        return
    if missing := unbooked(rows, session, findings.losses):
        yield Problem("answered, but not recorded", REPAIR, *whose, missing)
    newest, last_id = session.newest_kept, session.last_id
    if newest is not None and (last_id is None or newest > last_id):
        what = f"the newest recorded sample is {newest}, but the last counted one is {last_id}"
        yield Problem(what, REPAIR, *whose)
