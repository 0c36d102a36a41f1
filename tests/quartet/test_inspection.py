"""What `run --check` says of the files and directories that a configuration names."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import agent.__main__
import broker.__main__
from broker.pki.authority import Authority
from quartet.inspection import is_hidden

ROWS = "id,a,b,c,d\n0,1,2,3,4\n"


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    directory = tmp_path / "pki"
    Authority.init(directory, ["localhost"])
    Authority(directory).issue_agent("press-4")
    return directory


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(program: str, text: str, *arguments: str) -> tuple[int, str]:
        path = tmp_path / f"{program}.toml"
        path.write_text(text)
        main = agent.__main__.main if program == "agent" else broker.__main__.main
        code = main(["run", "--check", "--config", str(path), *arguments])
        return code, capsys.readouterr().err

    return run


Check = Callable[..., tuple[int, str]]


def replay(path: object) -> str:
    return f'[source]\nkind = "replay"\npath = "{path}"\n'


def agent_tls(pki: Path, **files: object) -> str:
    named = {
        "ca": pki / "ca.pem",
        "certificate": pki / "agents" / "press-4.pem",
        "key": pki / "agents" / "press-4.key",
    } | files
    lines = [f'{key} = "{path}"' for key, path in named.items()]
    return "\n".join([replay("/dev/null"), '[agent]\nid = "press-4"', "[tls]", *lines, ""])


def broker_tls(pki: Path, **files: object) -> str:
    named = {
        "certificate": pki / "broker.pem",
        "key": pki / "broker.key",
        "client_ca": pki / "ca.pem",
        "crl": pki / "crl.pem",
    } | files
    return "\n".join(["[tls]", *(f'{key} = "{path}"' for key, path in named.items()), ""])


# Samples


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("", "line 1: the file has no rows"),
        ("a,b,c\n1,2,3\n", "expected four columns of sensors, got 3"),
        ("id,a,b,c,d\n0,1,2,3,4\n1,1,2,x,4\n", "line 3, column 4: 'x' is not a number"),
    ],
)
def test_a_file_of_samples_that_cannot_be_read_fails(
    content: str | None, reason: str, tmp_path: Path, check: Check
) -> None:
    path = tmp_path / "some.csv"
    if content is not None:
        path.write_text(content)
    for text, key in (
        (replay(path), "source.path"),
        (
            '[source]\nkind = "virtual"\n[virtual.a2]\nkind = "csv"\ncolumn = 1\n'
            f'path = "{path}"\n',
            "virtual.a2.path",
        ),
    ):
        code, said = check("agent", text)
        assert code == 2
        assert said.startswith(f"agent: {key}: {path}: ")
        assert reason in said
    path.write_text(ROWS)
    assert check("agent", text) == (0, "")


def test_what_is_simulated_by_the_command_line_is_checked_too(tmp_path: Path, check: Check) -> None:
    code, said = check("agent", "", "--simulate", str(tmp_path / "none.csv"))
    assert (code, said.endswith("none.csv: No such file or directory\n")) == (2, True)


# Keys


def test_a_key_that_is_right_below_a_table_that_is_commented_out_is_a_warning(
    tmp_path: Path, check: Check
) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    text = replay(tmp_path / "rows.csv")
    text += "[outputs.alarm]\npin = 17\n#[outputs.status]\nactive_high = false\n"
    assert check("agent", text) == (
        0,
        f"agent: warning: {tmp_path / 'agent.toml'}: outputs.alarm.active_high counts for"
        " [outputs.alarm]: line 6, [outputs.status], is commented out\n",
    )
    code, said = check("broker", "[listen]\n#[tls]\ninsecure = true\n")
    assert (code, "listen.insecure counts for [listen]: line 2, [tls]" in said) == (0, True)


# Directories


def test_a_directory_that_is_missing_fails_except_where_systemd_creates_it(
    tmp_path: Path, check: Check
) -> None:
    text = '[source]\nkind = "ads1115"\n[spool]\ndirectory = "{}"\nhot_directory = "{}"\n'
    missing = tmp_path / "none"
    code, said = check("agent", text.format(missing, tmp_path))
    assert code == 2
    assert f"spool.directory: {missing} is not a directory: 'sudo install -d" in said
    code, said = check("agent", text.format("/var/lib/agent/none", "/run/agent/none"))
    assert code == 0
    assert said.splitlines() == [
        f"agent: warning: spool.{key}: {path} does not exist yet: systemd creates it for the"
        f" service; without the service, 'sudo install -d -o $USER {path}' creates it"
        for key, path in (
            ("directory", "/var/lib/agent/none"),
            ("hot_directory", "/run/agent/none"),
        )
    ]


def test_so_is_the_brokers(tmp_path: Path, check: Check) -> None:
    text = '[recorder]\npath = "{}"\n'
    code, said = check("broker", text.format(tmp_path / "none" / "b.db"))
    assert code == 2
    assert f"recorder.path: {tmp_path / 'none'} is not a directory" in said
    code, said = check("broker", text.format(tmp_path))
    assert (code, f"recorder.path: {tmp_path} is a directory" in said) == (2, True)
    assert check("broker", text.format("/var/lib/broker/none/b.db"))[0] == 0
    assert check("broker", text.format(tmp_path / "b.db")) == (0, "")
    assert not (tmp_path / "b.db").exists()


# Certificates


def test_the_files_of_an_authority_are_right(pki: Path, check: Check, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    text = agent_tls(pki).replace("/dev/null", str(tmp_path / "rows.csv"))
    assert check("agent", text) == (0, "")
    assert check("broker", broker_tls(pki)) == (0, "")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"ca": "{pki}/agents/press-4.pem"}, "tls.ca: {pki}/agents/press-4.pem: the certificate"),
        ({"ca": "{pki}/none.pem"}, "tls.ca: {pki}/none.pem: No such file"),
        ({"certificate": "{pki}/broker.pem", "key": "{pki}/broker.key"}, "not press-4"),
        ({"key": "{pki}/broker.key"}, "tls.key: {pki}/broker.key: "),
        ({"key": "{pki}/ca.pem"}, "tls.key: {pki}/ca.pem: "),
    ],
)
def test_wrong_contents_of_an_agents_files_fail(
    files: dict[str, str], reason: str, pki: Path, check: Check
) -> None:
    named = {key: path.format(pki=pki) for key, path in files.items()}
    code, said = check("agent", agent_tls(pki, **named))
    assert code == 2
    assert reason.format(pki=pki) in said


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"certificate": "{pki}/agents/press-4.pem", "key": "{pki}/agents/press-4.key"},
            "clients",
        ),
        ({"client_ca": "{pki}/broker.pem"}, "tls.client_ca: {pki}/broker.pem: the certificate"),
        ({"crl": "{pki}/ca.pem"}, "tls.crl: {pki}/ca.pem: "),
        ({"crl": "{pki}/none.pem"}, "tls.crl: {pki}/none.pem: No such file"),
    ],
)
def test_wrong_contents_of_a_brokers_files_fail(
    files: dict[str, str], reason: str, pki: Path, check: Check
) -> None:
    named = {key: path.format(pki=pki) for key, path in files.items()}
    code, said = check("broker", broker_tls(pki, **named))
    assert code == 2
    assert reason.format(pki=pki) in said
    assert len(said.splitlines()) == 1


def test_what_the_playbook_brings_may_be_missing(check: Check, tmp_path: Path, pki: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    home = "/etc/agent/none"
    text = agent_tls(
        pki, ca=f"{home}/ca.pem", certificate=f"{home}/agent.pem", key=f"{home}/agent.key"
    )
    code, said = check("agent", text.replace("/dev/null", str(tmp_path / "rows.csv")))
    assert code == 0
    assert [line.split()[2] for line in said.splitlines()] == ["tls.ca:", "tls.certificate:"]
    home = "/etc/broker/none"
    text = broker_tls(
        pki,
        certificate=f"{home}/b.pem",
        key=f"{home}/b.key",
        client_ca=f"{home}/ca.pem",
        crl=f"{home}/crl.pem",
    )
    code, said = check("broker", text)
    assert code == 0
    assert "does not exist yet" in said


def test_a_key_that_all_can_read_and_a_certificate_that_expires_are_warnings(
    pki: Path, check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    text = agent_tls(pki).replace("/dev/null", str(tmp_path / "rows.csv"))
    (pki / "agents" / "press-4.key").chmod(0o644)
    code, said = check("agent", text)
    assert (code, "warning: tls.key: anyone here can read" in said) == (0, True)
    later = datetime.now(UTC) + timedelta(days=365 * 30)
    monkeypatch.setattr("quartet.inspection.utc", lambda _: later)
    code, said = check("agent", text)
    assert code == 0
    assert "warning: tls.certificate (press-4): expired on" in said
    assert "warning: tls.ca (" in said


# Which file is read


def test_a_file_from_standard_input_is_checked_without_the_files_of_its_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    piped = tmp_path / "piped"
    piped.symlink_to("/dev/null")
    none = str(tmp_path / "none.csv")
    arguments = ["run", "--check", "--config", str(piped), "--simulate", none]
    assert agent.__main__.main(arguments) == 0
    assert "the configuration is right" in capsys.readouterr().out


def test_the_default_configuration_is_read_where_it_exists_but_never_in_a_simulation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    default = tmp_path / "agent.toml"
    (tmp_path / "rows.csv").write_text(ROWS)

    def check(*arguments: str) -> int:
        return agent.__main__.main(["run", "--check", *arguments], config=default)

    assert check() == 2
    assert "no source of samples" in capsys.readouterr().err
    default.write_text(replay(tmp_path / "rows.csv"))
    assert check() == 0
    assert f"({default})" in capsys.readouterr().out
    default.write_text("nonsense")
    assert check() == 2
    assert f"agent: {default}: line 1: is not TOML" in capsys.readouterr().err
    assert check("--simulate", str(tmp_path / "rows.csv")) == 0
    assert check("--virtual") == 0
    other = tmp_path / "other.toml"
    other.write_text(replay(tmp_path / "rows.csv"))
    assert check("--config", str(other)) == 0


def test_so_is_the_brokers_default_by_each_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    default = tmp_path / "broker.toml"
    default.write_text(f'[recorder]\npath = "{tmp_path / "none.db"}"\n')
    assert broker.__main__.main(["run", "--check"], config=default) == 0
    assert f"({default})" in capsys.readouterr().out
    assert broker.__main__.main(["ledger"], config=default) == 1
    assert f"{tmp_path / 'none.db'}" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_fails(tmp_path: Path, check: Check) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    code, said = check("broker", f'[recorder]\npath = "{closed / "b.db"}"\n')
    assert (code, f"recorder.path: {closed} cannot be written by you" in said) == (2, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_directory_behind_one_of_the_services_own_is_not_called_missing(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir(mode=0)
    assert is_hidden(tmp_path / "agent" / "oil")
    (tmp_path / "agent").chmod(0o700)
    assert not is_hidden(tmp_path / "agent" / "oil")
