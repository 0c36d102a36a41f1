"""Sockets on all addresses of a host."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_IPV6 = """
import asyncio, fcntl, socket, struct, subprocess, sys
from pathlib import Path

try:
    subprocess.run(["mount", "--bind", sys.argv[1], "/etc/hosts"], check=True)
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    with socket.socket() as any_:
        fcntl.ioctl(any_, 0x8914, struct.pack("16sh22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
except (OSError, subprocess.CalledProcessError) as error:
    print(error, file=sys.stderr)
    sys.exit(77)

from broker.transport.h2.transport import H2Transport
from quartet.address import Address
from quartet.sockets import listening

(alone,) = listening(Address("localhost", 0))
print(alone.getsockname()[0])
try:
    listening(Address("::1", 0))
except OSError as error:
    print(error.strerror)


async def broker():
    transport = H2Transport(Address("localhost", 0), None)
    print(await transport.start({}) > 0)
    await transport.stop(0)


asyncio.run(broker())
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs util-linux")
def test_localhost_is_listened_on_where_ipv6_is_turned_off(tmp_path: Path) -> None:
    """Debian calls ::1 localhost, also where there is none."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n::1 localhost\n", "utf-8")
    apart = ["unshare", "--net", "--mount"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network of its own can be had: run it as root")
    done = subprocess.run(
        [*apart, sys.executable, "-c", WITHOUT_IPV6, str(hosts)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"its network cannot be set up: {done.stderr}")
    said = ["127.0.0.1", "Cannot assign requested address", "True"]
    assert (done.stdout.splitlines(), done.stderr) == (said, "")
