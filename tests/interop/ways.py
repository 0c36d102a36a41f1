"""Ways from a client to a broker: none between, or a proxy that people put in front of brokers."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.certificates import LOOPBACK, Ca, Files
from support.patience import until
from support.ports import kept_port, listens
from support.processes import Broker

PARITY = ("--predictor", "parity")

_MODULES = Path("/usr/lib/nginx/modules")
_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
{more}
events {{}}
"""
_NGINX_HTTP = """
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} {listen};
        client_max_body_size 0;
        client_body_timeout 1h;
        grpc_read_timeout 1h;
        grpc_send_timeout 1h;
        location / {{ grpc_pass grpc://{broker}; }}
    }}
}}
"""
_NGINX_STREAM = """
stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass {broker}; }} }}
"""
_HAPROXY = """
defaults
    mode {mode}
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen broker
    bind 127.0.0.1:{port} {bind}
    server one {broker} {server}
"""


@dataclass(frozen=True, slots=True)
class Way:
    """How a client comes to a broker that runs with these arguments."""

    to: Callable[[Broker], AbstractContextManager[str]]
    """Gives the address for the client, while entered."""
    arguments: tuple[str, ...] = PARITY
    keeps_the_end: bool = True
    """Whether the status passes of a call that the broker ends while its client may still send."""


@contextlib.contextmanager
def _straight(broker: Broker) -> Iterator[str]:
    yield broker.address


STRAIGHT = Way(_straight)


def need(program: str, *packages: str) -> str:
    """Where a program is; the test fails where it is not."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not path:
        pytest.fail(f"no {program} here: apt-get install {' '.join(packages or [program])}")
    return path


class Plant:
    """An authority and the certificate of what clients connect to: a proxy, or a broker."""

    def __init__(self, folder: Path) -> None:
        self.ca = Ca(folder)
        self.files: Files = self.ca.issue("broker", LOOPBACK)
        self.folder = folder

    def broker_toml(self) -> Path:
        """Of a broker that has the certificate itself, and asks clients for none."""
        path = self.folder / "broker.toml"
        path.write_text(
            f'[tls]\ncertificate = "{self.files.certificate}"\nkey = "{self.files.key}"\n'
            "require_client_certificate = false\n"
        )
        return path


def nginx(folder: Path, plant: Plant | None = None) -> Way:
    """nginx's grpc_pass; with a plant, TLS ends there."""
    listen = "http2"
    if plant:
        listen = (
            f"ssl http2; ssl_certificate {plant.files.certificate};"
            f" ssl_certificate_key {plant.files.key}"
        )
    return Way(lambda broker: _nginx(folder, _NGINX_HTTP, broker, listen=listen))


def nginx_stream(folder: Path, plant: Plant) -> Way:
    """nginx passes bytes on; TLS ends at the broker."""
    module = _MODULES / "ngx_stream_module.so"
    if not module.exists():
        pytest.fail("nginx has no module for streams: apt-get install libnginx-mod-stream")
    more = f"load_module {module};"
    return Way(
        lambda broker: _nginx(folder, _NGINX_STREAM, broker, more=more),
        (*PARITY, "--config", str(plant.broker_toml())),
    )


def haproxy(folder: Path, mode: str) -> Way:
    """HAProxy in mode tcp, or in mode http with HTTP/2 on both sides."""
    both = "proto h2" if mode == "http" else ""
    return _haproxy(folder, mode=mode, bind=both, server=both)


def haproxy_by_tls(folder: Path, plant: Plant) -> Way:
    """The same in mode http; TLS ends there."""
    both = folder / "both.pem"
    both.write_bytes(plant.files.certificate.read_bytes() + plant.files.key.read_bytes())
    return _haproxy(folder, mode="http", bind=f"ssl crt {both} alpn h2", server="proto h2")


def _haproxy(folder: Path, **words: str) -> Way:
    # HAProxy has read of a reset then, and tells its client CANCELLED, which agents retry.
    keeps_the_end = words["mode"] == "tcp"

    @contextlib.contextmanager
    def to(broker: Broker) -> Iterator[str]:
        program = need("haproxy")
        with kept_port() as port:
            path = folder / "haproxy.cfg"
            path.write_text(_HAPROXY.format(port=port, broker=broker.address, **words))
            with running([program, "-db", "-f", str(path)], port):
                yield f"127.0.0.1:{port}"

    return Way(to, keeps_the_end=keeps_the_end)


@contextlib.contextmanager
def _nginx(
    folder: Path, text: str, broker: Broker, *, more: str = "", listen: str = ""
) -> Iterator[str]:
    program = need("nginx")
    with kept_port() as port:
        path = folder / "nginx.conf"
        whole = _NGINX + text
        path.write_text(
            whole.format(folder=folder, more=more, listen=listen, port=port, broker=broker.address)
        )
        with running([program, "-p", str(folder), "-c", str(path)], port):
            yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """The process, once it listens; it is killed in the end, when its clients have left."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stderr
        try:
            until(lambda: process.poll() is not None or listens(process.pid, port))
            assert process.poll() is None, process.stderr.read().decode()
            yield
        finally:
            process.kill()
