"""What a configuration names on this machine: files and directories, looked at before a start.

What systemd or the playbook brings may not be here yet, or may be the service's alone: that is a
warning. So is what time alone makes wrong, because the clock may be wrong instead.
"""

import errno
import os
import shlex
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quartet.clock import Clock, utc
from quartet.commandline import as_given
from quartet.distribution import to_install
from quartet.errors import SettingsError, TableError
from quartet.foreign import shown
from quartet.plural import counted
from quartet.settings import SYSTEM_AUTHORITIES, MqttServer, secret
from quartet.syntax import astray

if TYPE_CHECKING:
    from quartet.certificates import Certificate

# Where a service of this name has its files.
_HOMES = ("/etc", "/run", "/var/lib")

_CHECK_PATH = ": check the path"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a file or directory; with `fails` a start would fail, or should not be."""

    text: str
    fails: bool
    is_news: bool = False
    """Whether it is nothing to worry about."""


def conclude(program: str, remarks: Iterable[Remark]) -> None:
    """Print news and warnings; SettingsError with a line for each of the others, if any."""
    all_ = list(remarks)
    for remark in all_:
        if remark.is_news:
            print(shown(remark.text, 2000))
        elif not remark.fails:
            print(f"{program}: warning: {shown(remark.text, 2000)}", file=sys.stderr)
    if failures := [remark.text for remark in all_ if remark.fails]:
        raise SettingsError(*failures)


def inspect_configuration(path: Path) -> Iterator[Remark]:
    """A file of settings that are right: keys that may be meant for another table."""
    for key, skipped in astray(path.read_text("utf-8-sig")).items():
        table = key.rpartition(".")[0]
        yield Remark(f"{path}: {key} counts for [{table}]: {skipped}", fails=False)


def inspect_recording(
    key: str, path: str, program: str, columns: tuple[str, ...] = (), time: str = ""
) -> Iterator[Remark]:
    """A recording, read as a whole: its columns, its rows, its span of time, and what is bad."""
    from quartet.recording import Choice  # noqa: PLC0415 - a device reads no recording
    from quartet.recording.check import inspect  # noqa: PLC0415

    if missing := _unreadable(key, path, program):
        yield missing
        return
    try:
        command = as_given(f"{program} run --simulate {shlex.quote(path)}", "--simulate")
        found = inspect(Path(path), Choice(columns, time), command)
    except TableError as error:
        for number, line in enumerate(error.args):
            yield Remark(line if number else f"{key}: {line}", fails=True)
        return
    for text in found.texts():
        yield Remark(f"{key}: {text}", fails=False, is_news=True)
    for text in found.bad:
        yield Remark(f"{key}: {text}", fails=True)
    if (more := found.bad_rows - len(found.bad)) > 0:
        yield Remark(f"{key}: and {counted(more, 'more bad row')}", fails=True)


def inspect_directory(key: str, path: Path, program: str) -> Iterator[Remark]:
    """A directory to write to."""
    is_services = is_of_service(path, program)
    if is_services and is_hidden(path):
        yield Remark(f"{key}: {path} is for the user {program} only", fails=False)
    elif not os.path.isdir(path):  # noqa: PTH112 - False also where nobody may look
        remedy = f"'sudo install -d -o $USER {path}' creates it"
        if is_services:
            what = "does not exist yet: systemd creates it for the service"
            yield Remark(f"{key}: {path} {what}; without the service, {remedy}", fails=False)
        else:
            yield Remark(f"{key}: {path} is not a directory: {remedy}", fails=True)
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        whose = f"is for the user {program} only" if is_services else "cannot be written by you"
        yield Remark(f"{key}: {path} {whose}", fails=not is_services)


def inspect_mqtt(table: str, server: MqttServer, program: str) -> Iterator[Remark]:
    """The library for an MQTT server, and the files that are shown to the server."""
    try:
        from quartet.mqtt.cause import MqttServerError  # noqa: PLC0415 - for MQTT alone
        from quartet.mqtt.connection import credentials  # noqa: PLC0415 - optional
    except ImportError as error:
        yield Remark(f"{table}: {error.name} is missing: {to_install('mqtt')}", fails=True)
        return
    remarks = list(_inspect_files_of_mqtt(table, server, program))
    yield from remarks
    if not remarks:
        try:
            credentials(server)
        except MqttServerError as error:
            yield Remark(f"{table}.{error}", fails=True)


def _inspect_files_of_mqtt(table: str, server: MqttServer, program: str) -> Iterator[Remark]:
    authorities = None if server.ca == SYSTEM_AUTHORITIES else server.ca
    for name, path in (("ca", authorities), ("certificate", server.certificate)):
        if path and (missing := _unreadable(f"{table}.{name}", path, program, _CHECK_PATH)):
            yield missing
    for name, path in (("key", server.key), ("password_file", server.password_file)):
        if path is None:
            continue
        remedy = _CHECK_PATH if name == "key" else ": write the password into it"
        if missing := _unreadable(f"{table}.{name}", secret(path), program, remedy):
            yield missing
        elif os.stat(secret(path)).st_mode & stat.S_IROTH:  # noqa: PTH116 - as for the others
            text = f"{table}.{name}: anyone here can read {path}: 'chmod 600 {path}'"
            yield Remark(text, fails=False)


def inspect_pem(
    key: str, path: str, program: str, clock: Clock, read: "Callable[[], Iterable[Certificate]]"
) -> Iterator[Remark]:
    """A file of authorities or revocations; `read` gives the certificates whose age counts."""
    if missing := _unreadable(key, path, program):
        yield missing
        return
    try:
        certificates = read()
    except SettingsError as error:
        yield Remark(str(error), fails=True)
    else:
        yield from _ages(key, certificates, clock)


def inspect_identity(
    certificate: str, key: str, program: str, clock: Clock
) -> "Iterator[Remark | Certificate]":
    """A certificate and its key, which must fit; the certificate, if it can be used."""
    from quartet.pem import (  # noqa: PLC0415 - for TLS alone
        is_readable_by_all,
        read_certificate,
        read_identity,
    )

    if missing := _unreadable("tls.certificate", certificate, program):
        yield missing
        return
    key_path = secret(key)
    unreadable_key = _unreadable("tls.key", key_path, program)
    if unreadable_key:
        yield unreadable_key
    try:
        if unreadable_key:
            own = read_certificate(certificate)
        else:
            own = read_identity(certificate, key_path).certificate
    except SettingsError as error:
        yield Remark(str(error), fails=True)
        return
    if not unreadable_key and is_readable_by_all(key_path):
        yield Remark(f"tls.key: anyone here can read {key}: 'chmod 600 {key}'", fails=False)
    yield from _ages("tls.certificate", [own], clock)
    yield own


def _ages(key: str, certificates: "Iterable[Certificate]", clock: Clock) -> Iterator[Remark]:
    from quartet.certificates import (  # noqa: PLC0415 - for TLS alone
        expires_soon,
        expiry,
        in_question,
        invalid,
    )

    now = utc(clock)
    for each in in_question(certificates, now):
        age = invalid(each, now) or (expiry(each, now) if expires_soon(each, now) else "")
        if age:
            yield Remark(f"{key} ({each}): {age}", fails=False)


def _unreadable(key: str, path: str, program: str, remedy: str = "") -> Remark | None:
    """Why a file cannot be read, and what to do; None where it can."""
    is_services = is_of_service(Path(path), program)
    try:
        with open(path, "rb"):  # noqa: PTH123 - a path with a zero in it is an error here alone
            return None
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        reason = getattr(error, "strerror", None) or str(error)
    if is_services and number == errno.ENOENT:
        text = f"{path} does not exist yet: the service needs it"
    elif is_services and number == errno.EACCES:
        text = f"{path} is for the service only, and was not checked: try with sudo"
    else:
        return Remark(f"{key}: {shown(path)}: {reason}{remedy}", fails=True)
    return Remark(f"{key}: {text}", fails=False)


def is_hidden(path: Path) -> bool:
    """Whether this user may not see if it exists."""
    parent = path.parent
    return os.path.isdir(parent) and not os.access(parent, os.X_OK)  # noqa: PTH112 - as above


def is_of_service(path: Path, program: str) -> bool:
    """Whether systemd or the playbook brings it: a file of the service of this name."""
    return any(path.is_relative_to(Path(home, program)) for home in _HOMES)
