"""A pooler of Debian's package between brokers and their server."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.patience import until
from support.ports import kept_port
from support.postgres import Server

_PROGRAM = Path("/usr/sbin/pgbouncer")

_SETTINGS = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
{more}
"""

_USER = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def is_there() -> bool:
    """Whether the package is installed."""
    return _PROGRAM.exists()


@contextmanager
def pooled(server: Server, mode: str, more: str = "") -> Iterator[int]:
    """A pooler while entered; its port. `more`: settings."""
    with kept_port() as port:
        folder = Path(tempfile.mkdtemp(prefix="quartet-pgbouncer-"))
        try:
            settings = folder / "pgbouncer.ini"
            settings.write_text(
                _SETTINGS.format(server=server.port, port=port, mode=mode, more=more)
            )
            if _USER:
                for each in (folder, settings):
                    shutil.chown(each, "postgres", "postgres")
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen([_PROGRAM, settings], stdout=log, stderr=log, **_USER)
            try:

                def answers() -> bool:
                    assert process.poll() is None, (folder / "log").read_text()
                    with socket.socket() as asked:
                        return asked.connect_ex(("127.0.0.1", port)) == 0

                until(answers)
                yield port
            finally:
                process.kill()
                process.wait()
        finally:
            shutil.rmtree(folder)
