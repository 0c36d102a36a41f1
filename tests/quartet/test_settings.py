"""Files of settings: those that are right, and the error for each value that is wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from support.settings import Kind, refusal

import agent.config
import broker.config
from agent.config.source import ReplaySettings
from quartet.settings import differences, load, secret
from wire.metadata import AGENT_ID

many = profile(derandomize=True, deadline=None, max_examples=60)

RATE = 'sampling.rate_hz: expected a number from 0.0001 to 1000, "max" or "recorded", got '

# One thing that is wrong with each table: where, the line that says so, what is said of it.
AGENT_PROBLEMS = {
    "agent.id": (
        "id = 'pump 1'",
        "expected a name of 1 to 64 characters (letters, digits, . _ -), got 'pump 1'",
    ),
    "broker.insecure": ("insecure = 1", "expected true or false, got 1"),
    "broker.adress": ("adress = 'a:1'", "unknown key; did you mean 'address'?"),
    "source.kind": ("kind = 'adc'", 'expected "replay", "ads1115" or "virtual", got \'adc\''),
    "source.path": ("path = 3", "expected text in quotes, got 3"),
    "source.loop": ("loop = 'no'", "expected true or false, got 'no'"),
    "sampling.rate_hz": (
        "rate_hz = nan",
        'expected a number from 0.0001 to 1000, "max" or "recorded", got nan',
    ),
    "spool.max_bytes": (
        "max_bytes = 65535",
        "expected a whole number of at least 65536, got 65535",
    ),
    "spool.when_full": (
        'when_full = "burst"',
        'expected "drop_oldest" or "refuse_new", got \'burst\'',
    ),
    "spool.spill_after_s": ("spill_after_s = 0", "expected a number from 0.1 to 3600, got 0"),
    "spool.durability": ('durability = "hope"', 'expected "ram" or "disk", got \'hope\''),
    "link.window": ("window = 4097", "expected a whole number from 1 to 4096, got 4097"),
    "link.reply_deadline_s": (
        "reply_deadline_s = nan",
        "expected a number from 0.01 to 3600, got nan",
    ),
    "link.keepalive_s": ("keepalive_s = inf", "expected a number from 10 to 3600, got inf"),
    "link.backoff_min_s": ("backoff_min_s = '1s'", "expected a number from 0.01 to 3600, got '1s'"),
    "link.backoff_max_s": ("backoff_max_s = -inf", "expected a number from 0.01 to 3600, got -inf"),
    "journal.predictions": ("predictions = 'none'", 'expected "all" or "changes", got \'none\''),
    "log.level": (
        "level = 'loud'",
        'expected "debug", "info", "warning" or "error", got \'loud\'',
    ),
    "log.colour": ("colour = true", "unknown key; known keys are level"),
}
BROKER_PROBLEMS = {
    "listen.address": ("address = 8061", "expected text in quotes, got 8061"),
    "listen.insecure": ("insecure = 'yes'", "expected true or false, got 'yes'"),
    "listen.port": ("port = 8061", "unknown key; known keys are address, insecure"),
    "predictor.use": ("use = ['limits']", "expected text in quotes, got ['limits']"),
    "predictor.options": ("options = 'low=1'", "expected a table, got 'low=1'"),
    "log.level": ("level = 20", 'expected "debug", "info", "warning" or "error", got 20'),
    "log.levels": ("levels = 'info'", "unknown key; did you mean 'level'?"),
}
CHIP = "[source]\nkind = 'ads1115'\n"
KINDS = {
    "agent": (agent.config.Settings, AGENT_PROBLEMS),
    "broker": (broker.config.Settings, BROKER_PROBLEMS),
}


def toml(lines: dict[str, str]) -> str:
    """TOML of lines by their dotted names."""
    tables: dict[str, list[str]] = {}
    for name, line in lines.items():
        tables.setdefault(name.partition(".")[0], []).append(line)
    return "\n".join(f"[{table}]\n" + "\n".join(rows) for table, rows in tables.items())


# What is right


@pytest.mark.parametrize("kind", [agent.config.Settings, broker.config.Settings])
def test_an_empty_file_gives_the_defaults(toml_path: Path, kind: Kind) -> None:
    toml_path.write_text("# nothing yet\n", "utf-8")
    assert load(toml_path, kind) == kind()


@many
@given(
    rate_hz=st.floats(0.001, agent.config.MAX_RATE_HZ) | st.integers(1, 1000) | st.just("max"),
    backoff_s=st.tuples(st.floats(0.01, 3600), st.floats(0.01, 3600)).map(sorted),
    agent_id=st.from_regex(AGENT_ID, fullmatch=True),
    loop=st.booleans(),
)
def test_what_is_in_range_is_read_as_written(
    toml_path: Path, *, rate_hz: float | str, backoff_s: list[float], agent_id: str, loop: bool
) -> None:
    lines = {
        "agent.id": f"id = '{agent_id}'",
        "sampling.rate_hz": f"rate_hz = {rate_hz!r}",
        "link.window": "window = 4096",
        "link.backoff_min_s": f"backoff_min_s = {backoff_s[0]!r}",
        "link.backoff_max_s": f"backoff_max_s = {backoff_s[1]!r}",
        "source.kind": "kind = 'replay'",
        "source.path": "path = 'a b.csv'",
        "source.loop": f"loop = {str(loop).lower()}",
    }
    toml_path.write_text(toml(lines), "utf-8")
    read = load(toml_path, agent.config.Settings)
    assert read.agent.id == agent_id
    assert read.sampling.rate_hz == rate_hz
    assert read.link.window == 4096
    assert [read.link.backoff_min_s, read.link.backoff_max_s] == backoff_s
    assert read.source == ReplaySettings("a b.csv", loop)
    assert read.journal == agent.config.JournalSettings()


# What is wrong


@pytest.mark.parametrize("name", KINDS)
@many
@given(data=st.data())
def test_all_problems_of_a_file_are_named_at_once_by_their_paths(
    toml_path: Path, name: str, data: st.DataObject
) -> None:
    kind, known = KINDS[name]
    chosen = data.draw(st.sets(st.sampled_from(sorted(known)), min_size=1))
    expected = {where: known[where][1] for where in chosen}
    text = toml({where: known[where][0] for where in sorted(chosen)})
    if "source.kind" not in chosen and "[source]" in text:
        text = text.replace("[source]", "[source]\nkind = 'replay'")
        expected.setdefault("source.path", "missing")
    elif "source.kind" in chosen:  # what the others should be is not known then
        expected = {w: e for w, e in expected.items() if w == "source.kind" or "source" not in w}
    lines = refusal(toml_path, kind, text)
    said = dict(line.split(": ", 1) for line in lines)
    assert len(lines) == len(said)
    assert said.keys() == expected.keys()
    assert all(said[where].startswith(expected[where]) for where in expected)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("brocker = 1", "brocker: unknown key; did you mean 'broker'?"),
        (
            "zzz = 1",
            "zzz: unknown key; known keys are agent, broker, tls, source, virtual, sampling,",
        ),
        ("source = 1", "source: expected a table, [source], got 1"),
        ("[[source]]", "source: expected a table, [source], got a list"),
        ("link = []", "link: expected a table, [link], got a list"),
        (
            "[sampling]\nrate_hz = 0",
            RATE + "0",
        ),
        (
            "[sampling]\nrate_hz = -0.0",
            RATE + "-0.0",
        ),
        (
            "[sampling]\nrate_hz = inf",
            RATE + "inf",
        ),
        (
            "[sampling]\nrate_hz = 1001",
            RATE + "1001",
        ),
        (
            "[sampling]\nrate_hz = 'x'",
            RATE + "'x'",
        ),
        (
            "[sampling]\nrate_hz = true",
            RATE + "True",
        ),
        ("[link]\nwindow = 1e2", "link.window: expected a whole number from 1 to 4096, got 100.0"),
        (
            "[agent]\nid = ''",
            "agent.id: expected a name of 1 to 64 characters (letters, digits, . _ -), got",
        ),
        (
            f"[agent]\nid = '{'x' * 65}'",
            "agent.id: expected a name of 1 to 64 characters (letters, digits, . _ -), got",
        ),
        (
            "[agent]\nid = 'p\u00fcmp'",
            "agent.id: expected a name of 1 to 64 characters (letters, digits, . _ -), got",
        ),
        (
            '[agent]\nid = "pump\\n"',
            "agent.id: expected a name of 1 to 64 characters (letters, digits, . _ -), got",
        ),
        (
            "[link]\nbackoff_min_s = 2\nbackoff_max_s = 1",
            "link.backoff_min_s: must not be above backoff_max_s",
        ),
        ("[link]\nbackoff_max_s = 0.1", "link.backoff_min_s: must not be above backoff_max_s"),
        ("[source]\npath = 'x'", 'source.kind: missing: expected "replay", "ads1115" or "virtual"'),
        ("[source]\nkind = 3", 'source.kind: expected "replay", "ads1115" or "virtual", got 3'),
        (
            CHIP + "gain = 0.667",
            "source.gain: unknown key; it belongs in [source.sensor1], [source.sensor2],"
            ' [source.sensor3] or [source.sensor4]: did you mean "2/3", in quotes?',
        ),
        ("rate_hz = 1", "rate_hz: unknown key; it belongs in [sampling]"),
        (CHIP + "path = 'x'", "source.path: unknown key; known keys are bus, address, chip,"),
        (
            CHIP + "address = 0x50",
            "source.address: expected 0x48, 0x49, 0x4a, 0x4b or the same in quotes, got 80",
        ),
        (
            CHIP + "address = '0x50'",
            "source.address: expected 0x48, 0x49, 0x4a, 0x4b or the same in quotes, got '0x50'",
        ),
        (
            CHIP + "chip = 'ads1114'",
            'source.chip: expected "ads1115" or "ads1015", got \'ads1114\'',
        ),
        (CHIP + "sensor1 = 3", "source.sensor1: expected a table, [source.sensor1], got 3"),
        (
            CHIP + "sensor2.gain = 0.667",
            'source.sensor2.gain: expected "2/3" (6.144 V), 1 (4.096 V), 2 (2.048 V), 4 (1.024 V),'
            ' 8 (0.512 V) or 16 (0.256 V), got 0.667: did you mean "2/3", in quotes?',
        ),
        (
            CHIP + "sensor2 = {gain = 4, scale = 6.4, min = 8, max = 16, unit = 'bar'}",
            "source.sensor2.min: 8 to 16 bar cannot be measured: gain = 4 gives -6.554 to 6.554"
            " bar: check gain, scale and offset",
        ),
        (
            CHIP + "sensor1.input = 4",
            "source.sensor1.input: "
            'expected 0, 1, 2, 3, "0-1", "0-3", "1-3", "2-3" or "none", got 4',
        ),
        (
            CHIP + "".join(f"sensor{n}.input = 'none'\n" for n in (1, 2, 3, 4)),
            'source.sensor1.input: expected a pin: all four sensors are "none"',
        ),
        (CHIP + "sensor1.input = 1", "source.sensor2.input: 1 is already used by sensor1"),
        (
            CHIP + "sensor3.input = '0-1'\nsensor1.input = '0-1'",
            "source.sensor3.input: '0-1' is already used by sensor1",
        ),
        (
            CHIP + "sensor1.scale = 0.0",
            "source.sensor1.scale: 0 gives the same value for every voltage",
        ),
        (
            CHIP + "sensor1.scale = nan",
            "source.sensor1.scale: expected a number that is not inf or nan",
        ),
        (
            CHIP + "sensor1.offset = -inf",
            "source.sensor1.offset: expected a number that is not inf or nan",
        ),
        (CHIP + "sensor1 = {min = 2, max = 1}", "source.sensor1.min: 2 must be below max, 1"),
        (CHIP + "sensor1.min = nan", "source.sensor1.min: nan must be below max, inf"),
        (CHIP + "average = 0", "source.average: expected a whole number from 1 to 64, got 0"),
        ("[outputs.alarm]", "outputs.alarm.pin: missing"),
        (
            "[outputs.alarm]\npin = 28",
            "outputs.alarm.pin: expected a whole number from 0 to 27, got 28",
        ),
        (
            "[outputs.alarm]\npin = 'GPIO17'",
            "outputs.alarm.pin: expected a whole number from 0 to 27, got 'GPIO17'",
        ),
        (
            "[outputs]\nalarm.pin = 17\nstatus.pin = 17",
            "outputs.status.pin: 17 is already used by alarm",
        ),
        ("[[virtual.faults]]", "virtual.faults[1].kind: missing"),
        ("virtual.faults = 1", "virtual.faults: expected tables, each under [[virtual.faults]]"),
        (
            "[[virtual.faults]]\nkind = 'nack'\nfor_s = 2\nevery_s = 1",
            "virtual.faults[1].every_s: must be above for_s",
        ),
        ("[virtual.a0]\nkind = 'square'", 'virtual.a0.kind: expected "sine", "noise",'),
    ],
)
def test_a_single_problem_is_the_whole_message(toml_path: Path, raw: str, expected: str) -> None:
    lines = refusal(toml_path, agent.config.Settings, raw)
    assert len(lines) == 1
    assert lines[0].startswith(expected)


@pytest.mark.parametrize(
    ("kind", "table"), [(agent.config.Settings, "broker"), (broker.config.Settings, "listen")]
)
def test_an_address_that_is_none_is_named_by_table_and_key(
    toml_path: Path, kind: Kind, table: str
) -> None:
    (line,) = refusal(toml_path, kind, f"[{table}]\naddress = 'localhost'")
    assert line.startswith(f"{table}.address: expected HOST:PORT")
    assert "'localhost'" in line


def test_problems_between_keys_are_named_beside_those_of_other_tables(toml_path: Path) -> None:
    lines = refusal(
        toml_path,
        agent.config.Settings,
        "[link]\nbackoff_min_s = 2\nbackoff_max_s = 1\n[broker]\naddress = ''\n[log]\nlevel = 1",
    )
    assert [line.split()[0] for line in lines] == [
        "link.backoff_min_s:",
        "broker.address:",
        "log.level:",
    ]


# Differences, and secrets


def test_differences_are_named_by_their_paths_in_the_file(tmp_path: Path) -> None:
    def settings_of(text: str) -> agent.config.Settings:
        path = tmp_path / "agent.toml"
        path.write_text(text)
        return load(path, agent.config.Settings)

    former = settings_of('[agent]\nid = "a"\n[outputs.alarm]\npin = 17\n')
    assert differences(former, former) == []
    latest = settings_of(
        '[agent]\nid = "b"\n[outputs.alarm]\npin = 17\nttl_s = 5.0\n[source]\nkind = "ads1115"\n'
    )
    assert differences(former, latest) == ["agent.id", "source", "outputs.alarm.ttl_s"]


def test_a_secret_is_read_from_where_systemd_copied_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "agent.key"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret("/etc/agent/agent.key") == "/etc/agent/agent.key"
    copy.touch()
    assert secret("/etc/agent/agent.key") == str(copy)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/" + "x" * 5000)  # nobody may look there
    assert secret("/etc/agent/agent.key") == "/etc/agent/agent.key"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert secret("/etc/agent/agent.key") == "/etc/agent/agent.key"
