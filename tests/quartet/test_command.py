"""A command's end: exit codes and single lines, whatever it raises."""

import os
import subprocess
import sys
from pathlib import Path

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
    command.refuse_windows(platform)


FULL = Path("/dev/full")
ON_A_FULL_DISK = pytest.mark.skipif(not FULL.exists(), reason="no full disk to write to")
UNBUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"])
NO_SPACE = "cannot write the output: No space left on device\n"


def on_a_full_disk(arguments: list[str], unbuffered: str) -> tuple[int, str]:
    """The exit code, and what stderr has."""
    with FULL.open("w") as out:
        done = subprocess.run(
            [sys.executable, *arguments],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    return done.returncode, done.stderr


@ON_A_FULL_DISK
@UNBUFFERED
@pytest.mark.parametrize("length", [1, 1_000_000])
def test_output_to_a_full_disk_is_one_line(length: int, unbuffered: str) -> None:
    code = (
        "import sys\nfrom quartet import command\n"
        f"sys.exit(command.run('broker', lambda: print('x' * {length}) or 0))"
    )
    assert on_a_full_disk(["-c", code], unbuffered) == (1, f"broker: {NO_SPACE}")


@ON_A_FULL_DISK
@UNBUFFERED
def test_an_error_behind_lost_output_is_told_as_well(unbuffered: str) -> None:
    code = (
        "import sys\nfrom quartet import command\nfrom quartet.errors import QuartetError\n"
        "def fail():\n"
        "    try:\n        print('a')\n    finally:\n        raise QuartetError('no chip')\n"
        "sys.exit(command.run('agent', fail))"
    )
    status, said = on_a_full_disk(["-c", code], unbuffered)
    assert status == 1
    assert said == ("agent: no chip\n" if unbuffered else f"agent: no chip\nagent: {NO_SPACE}")


@ON_A_FULL_DISK
@UNBUFFERED
def test_a_command_that_prints_nothing_needs_no_room(unbuffered: str) -> None:
    code = "import sys\nfrom quartet import command\nsys.exit(command.run('agent', lambda: 0))"
    assert on_a_full_disk(["-c", code], unbuffered) == (0, "")


@ON_A_FULL_DISK
@UNBUFFERED
@pytest.mark.parametrize(
    "arguments",
    [
        *(["agent", *each] for each in (["--help"], ["run", "--help"], ["--version"])),
        ["agent", "config", "--example"],
        ["agent", "run", "--virtual", "--check"],
        ["broker", "--help"],
        ["broker", "check-predictor"],
        ["broker", "run", "--check"],
    ],
    ids=" ".join,
)
def test_each_program_says_that_its_output_is_lost(arguments: list[str], unbuffered: str) -> None:
    program = arguments[0]
    assert on_a_full_disk(["-m", *arguments], unbuffered) == (1, f"{program}: {NO_SPACE}")


@UNBUFFERED
def test_a_standard_output_that_is_closed_is_told_and_no_file_gets_its_number(
    unbuffered: str, tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom quartet import command\n"
        "def opened():\n"
        "    with open('file', 'w') as file:\n"
        "        print('lost')\n        assert file.fileno() != 1\n    return 0\n"
        "sys.exit(command.run('agent', opened))"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    said = "agent: cannot write the output: Bad file descriptor\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert not (tmp_path / "file").read_text()
