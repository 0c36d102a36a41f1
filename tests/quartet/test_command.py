"""A command's end: exit codes and single lines, whatever it raises."""

import os
import subprocess
import sys

import pytest

from quartet import command
from quartet.errors import QuartetError, SettingsError, StoreError


def raising(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SettingsError("rate_hz: too high"), 2, "agent: rate_hz: too high\n"),
        (QuartetError("no chip"), 1, "agent: no chip\n"),
        (StoreError("damaged"), 1, "agent: damaged\n"),
        (KeyboardInterrupt(), 1, ""),
    ],
)
def test_what_a_person_caused_is_one_line_and_a_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run("agent", lambda: raising(error)) == code
    assert capsys.readouterr() == ("", said)


def test_a_command_that_sets_up_no_log_logs_lines_that_nobody_can_forge() -> None:
    code = (
        "import logging, sys\nfrom quartet import command\n"
        "log = logging.getLogger('a')\n"
        "sys.exit(command.run('broker', lambda: log.warning('%s', 'a\\n\\x1bb') or 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "a\\n\\x1bb\n")


@pytest.mark.parametrize("code", [0, 1])
def test_a_command_that_comes_to_its_end_gives_its_code(code: int) -> None:
    assert command.run("agent", lambda: code) == code


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        command.run("agent", lambda: 1 // 0)


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # the second: the locale C
def test_a_terminal_that_knows_ascii_alone_gets_a_message_and_no_traceback(errors: str) -> None:
    code = (
        "import sys\nfrom quartet import command\nfrom quartet.errors import QuartetError\n"
        "def fail():\n    print('20 \u00b0C')\n    raise QuartetError('\u00d6l')\n"
        "sys.exit(command.run('agent', fail))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": f"ascii:{errors}"},
    )
    assert (done.returncode, done.stdout) == (1, "20 \\xb0C\n")
    assert done.stderr == "agent: \\xd6l\n"


@pytest.mark.parametrize("length", [1, 1_000_000])
def test_a_reader_that_has_seen_enough_gets_no_traceback(length: int) -> None:
    code = (
        "import sys\nfrom quartet import command\n"
        f"sys.exit(command.run('broker', lambda: print('x' * {length}) or 0))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("program", "arguments"), [("agent", ["run", "--virtual"]), ("broker", ["ledger"])]
)
def test_windows_is_refused_in_one_line(program: str, arguments: list[str]) -> None:
    code = (
        "import sys\nsys.modules['fcntl'] = None\n"  # as there, it cannot be imported
        f"from {program}.__main__ import main\n"
        f"sys.exit(main({arguments}, platform='win32'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{program}: Windows is not supported")
    assert not done.stdout


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_linux_and_macos_are_not(platform: str) -> None:
    assert command.run("agent", lambda: 0, platform=platform) == 0
