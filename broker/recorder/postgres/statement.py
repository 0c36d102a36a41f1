"""The one statement of a commit: what it writes, of lines that are still owned, and how."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows that a round may add: their columns with types, and what is done with them."""

    columns: dict[str, str]
    sql: str
    """`{rows}` stands for the rows, as a table `given`; `{run}` for those of a row of `runs`."""

    @property
    def types(self) -> Iterable[str]:
        """Of the columns, in their order."""
        return self.columns.values()


_LINE = {"line": "bigint"}

# The fence. A commit that has waited for the row looks at it again: after a claim, the epoch is
# another one. The head is the second guard: nothing is built upon a commit of unknown outcome. And
# the owner is the third: a standby that was not up to date gives an epoch for the second time.
LINES = Part(
    {
        **_LINE,
        "epoch": "bigint",
        "owner": "integer",
        "head": "bigint",
        "count": "integer",
        "prediction": "boolean",
        "is_device": "boolean",
    },
    """
    owned AS (
        UPDATE lines SET head = lines.head + given.count, prediction = given.prediction,
            heard_at = (SELECT at FROM moment), newest_at =
                CASE WHEN given.count > 0 THEN (SELECT at FROM moment) ELSE newest_at END,
            is_rehearsal = is_rehearsal AND NOT given.is_device
        FROM {rows}
        WHERE lines.line = given.line AND lines.epoch = given.epoch AND lines.head = given.head
            AND lines.owner = given.owner
        RETURNING lines.line
    )
    """,
)
SESSIONS = Part(
    {
        "n": "integer",
        **_LINE,
        "id": "text",
        "first_id": "integer",
        "last_id": "integer",
        "received": "bigint",
        "answered": "bigint",
        "duplicates": "bigint",
        "refused": "bigint",
        "gaps": "bigint",
        "digest": "text",
    },
    """
    counts AS (SELECT given.* FROM {rows} JOIN owned USING (line)),
    counted AS (
        INSERT INTO sessions AS known (line, id, first_id, last_id, received, answered,
            duplicates, refused, gaps, digest)
        SELECT line, id, first_id, last_id, received, answered, duplicates, refused, gaps, digest
        FROM counts ORDER BY n
        ON CONFLICT (line, id) DO UPDATE SET
            first_id = coalesce(known.first_id, excluded.first_id),
            last_id = coalesce(excluded.last_id, known.last_id),
            received = known.received + excluded.received,
            answered = known.answered + excluded.answered,
            duplicates = known.duplicates + excluded.duplicates,
            refused = known.refused + excluded.refused,
            gaps = known.gaps + excluded.gaps, digest = excluded.digest
        RETURNING session, line, id
    ),
    numbered AS (SELECT n, session, line FROM counts JOIN counted USING (line, id))
    """,
)
# Which of the samples are a session's: from one to another, counted from 1. Without it each sample
# would look for its session; the server expects few, and compares each with all.
RUNS = Part(
    {"n": "integer", "first": "integer", "last": "integer"},
    """
    runs AS (SELECT line, session, first, last FROM {rows} JOIN numbered USING (n))
    """,
)
SAMPLES = Part(
    {
        "position": "bigint",
        "id": "integer",
        "sensor1": "real",
        "sensor2": "real",
        "sensor3": "real",
        "sensor4": "real",
        "sampled_at_ns": "bigint",
        "prediction": "boolean",
    },
    """
    sampled AS (
        INSERT INTO samples (line, position, session, round, sampled_at_ns, arrived_at, id,
            sensor1, sensor2, sensor3, sensor4, prediction)
        SELECT line, position, session, (SELECT number FROM moment), sampled_at_ns,
            (SELECT at FROM moment), id, sensor1, sensor2, sensor3, sensor4, prediction
        FROM runs CROSS JOIN LATERAL {run}
    )
    """,
)
GAPS = Part(
    {"n": "integer", "first": "integer", "last": "integer"},
    """
    jumped AS (
        INSERT INTO gaps (session, first, last)
        SELECT session, first, last FROM {rows} JOIN numbered USING (n)
    )
    """,
)
EXPLANATIONS = Part(
    {
        "n": "integer",
        "position": "bigint",
        "id": "integer",
        "sampled_at_ns": "bigint",
        "text": "text",
    },
    """
    explained AS (
        INSERT INTO explanations (line, position, session, id, sampled_at_ns, arrived_at, text)
        SELECT line, position, session, id, sampled_at_ns, (SELECT at FROM moment), text
        FROM {rows} JOIN numbered USING (n)
    )
    """,
)
LABELS = Part(
    {"n": "integer", "sensors": "bytea"},
    """
    labelled AS (
        INSERT INTO labels (session, line, sensors)
        SELECT session, line, sensors FROM {rows} JOIN numbered USING (n)
        ON CONFLICT (session) DO UPDATE SET sensors = excluded.sensors
    )
    """,
)
PUTS = Part(
    {
        **_LINE,
        "position": "bigint",
        "digest": "text",
        "state": "bytea",
        "kept": "smallint",
    },
    """
    put AS (
        INSERT INTO snapshots (line, position, digest, state, arrived_at, kept)
        SELECT line, position, digest, state, (SELECT at FROM moment), kept
        FROM {rows} JOIN owned USING (line)
        ON CONFLICT (line, position) DO UPDATE SET digest = excluded.digest,
            state = excluded.state, arrived_at = excluded.arrived_at, kept = excluded.kept
    ),
    told_anew AS (
        DELETE FROM asides USING {rows} JOIN owned USING (line)
        WHERE asides.line = given.line AND asides.digest = given.digest AND given.state IS NOT NULL
    )
    """,
)
KEEPS = Part(
    {**_LINE, "position": "bigint", "kept": "smallint"},
    """
    kept AS (
        UPDATE snapshots SET kept = given.kept FROM {rows} JOIN owned USING (line)
        WHERE snapshots.line = given.line AND snapshots.position = given.position
    )
    """,
)
DROPS = Part(
    {**_LINE, "position": "bigint"},
    """
    dropped AS (
        DELETE FROM snapshots USING {rows} JOIN owned USING (line)
        WHERE snapshots.line = given.line AND snapshots.position = given.position
    )
    """,
)
REBASES = Part(
    {**_LINE, "agent_id": "text", "command": "bigint", "position": "bigint"},
    """
    rebased AS (
        UPDATE commands SET position = given.position FROM {rows} JOIN owned USING (line)
        WHERE commands.command = given.command
    ),
    outlived AS (
        DELETE FROM commands USING {rows} JOIN owned USING (line)
        WHERE commands.agent_id = given.agent_id AND commands.command < given.command
    ),
    former AS (
        DELETE FROM asides USING {rows} JOIN owned USING (line) WHERE asides.line = given.line
    )
    """,
)
STANDINGS = Part(
    {
        **_LINE,
        "certificate_until_ns": "bigint",
        "learned": "bigint",
        "to_learn": "bigint",
        "alarm_since_ns": "bigint",
        "alarm_reason": "text",
        "shift": "text",
    },
    """
    standing AS (
        INSERT INTO standings (line, certificate_until_ns, learned, to_learn, alarm_since_ns,
            alarm_reason, shift)
        SELECT given.* FROM {rows} JOIN owned USING (line)
        ON CONFLICT (line) DO UPDATE SET certificate_until_ns = excluded.certificate_until_ns,
            learned = excluded.learned, to_learn = excluded.to_learn,
            alarm_since_ns = excluded.alarm_since_ns, alarm_reason = excluded.alarm_reason,
            shift = excluded.shift
    )
    """,
)
TAKEN_BACK = Part(
    {**_LINE, "text": "text"},
    """
    taken_back AS (
        DELETE FROM events USING (
            SELECT max(event) AS event FROM events JOIN ({rows} JOIN owned USING (line))
                USING (line)
            WHERE kind = 'ended' AND events.text = given.text GROUP BY line
        ) AS ended
        WHERE events.event = ended.event
    )
    """,
)
# Another broker tells of the streams from its claim on.
EVENTS = Part(
    {
        "n": "integer",
        **_LINE,
        "epoch": "bigint",
        "owner": "integer",
        "at_ns": "bigint",
        "kind": "text",
        "text": "text",
    },
    """
    happened AS (
        INSERT INTO events (line, at_ns, kind, text)
        SELECT line, at_ns, kind, text FROM {rows} JOIN lines USING (line)
        WHERE agent_id IS NOT NULL AND (
            lines.epoch = given.epoch OR lines.owner = given.owner OR kind = 'superseded')
        ORDER BY n
    )
    """,
)
_MOMENT = """
    moment AS (
        SELECT coalesce($1::timestamptz, now()) AS at,
            ahead + pg_current_xact_id()::text::bigint AS number FROM quartet_store
    )
"""

# A part stands behind those that it rests upon.
_ORDER = [
    *(LINES, SESSIONS, RUNS, SAMPLES, GAPS, EXPLANATIONS, LABELS, PUTS, KEEPS, DROPS, REBASES),
    *(STANDINGS, TAKEN_BACK, EVENTS),
]


@dataclass(slots=True)
class Statement:
    """Collects the rows of a round. Parts without rows are left out of the text."""

    _rows: dict[Part, list[Sequence[object]]] = field(default_factory=dict)

    def add(self, part: Part, *rows: Sequence[object]) -> None:
        """More rows, each in the order of the part's columns."""
        if rows:
            self._rows.setdefault(part, []).extend(rows)

    def built(self, at: datetime | None) -> tuple[str, list[object]]:
        """The text and its arguments; `at`: in place of the server's time.

        It gives the lines that were owned. What belongs to others is not written.
        """
        parts = [_MOMENT]
        arguments: list[object] = [at]
        for part in _ORDER:
            if not (rows := self._rows.get(part)):
                continue
            first = len(arguments) + 1
            arrays = [f"${first + n}::{kind}[]" for n, kind in enumerate(part.types)]
            slices = [f"({array})[runs.first:runs.last]" for array in arrays]
            names = ", ".join(part.columns)
            rows_, run = (f"unnest({', '.join(of)}) AS given ({names})" for of in (arrays, slices))
            parts.append(part.sql.replace("{rows}", rows_).replace("{run}", run))
            arguments.extend([*column] for column in zip(*rows, strict=True))
        owned = "SELECT line FROM owned" if LINES in self._rows else "SELECT 0 WHERE false"
        return f"WITH {', '.join(parts)} {owned}", arguments
