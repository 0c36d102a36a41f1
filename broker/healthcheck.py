"""Whether a broker serves: `python3 -m broker.healthcheck [HOST:PORT]` exits 0 if so, else 1.

Without an address it asks at the configured one, on this machine.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from broker.config import Settings, TlsSettings
from quartet.address import Address
from quartet.errors import SettingsError
from quartet.foreign import shown
from quartet.settings import load

# A broker that listens on all addresses of the machine is asked on its loopback.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens there

# A broker that works answers in milliseconds; the image's HEALTHCHECK allows 5 s with the start.
_DEADLINE_S = 2.0

# A proxy from the environment is not meant for a question about this very machine.
_OPTIONS = [("grpc.enable_http_proxy", 0)]


def problem(address: Address, tls: TlsSettings | None = None) -> str:
    """Why the broker there is not serving, in one line; empty if it is. Blocks for at most 2 s."""
    with _open_channel(address, tls) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=_DEADLINE_S)
        except grpc.RpcError as error:
            hint = "" if tls else "; use --config if it has TLS"
            return f"{address}: {error.code().name}: {shown(error.details())}{hint}"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return f"{address}: {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}"


def configured(settings: Settings) -> Address:
    """Where the broker with these settings can be asked on its own machine. SettingsError."""
    address = Address.parse(settings.listen.address, "listen.address")
    return replace(address, host=_LOOPBACK.get(address.host, address.host))


def _open_channel(address: Address, tls: TlsSettings | None) -> grpc.Channel:
    """With TLS, by the broker's own certificate, whatever name it is for."""
    if tls is None:
        return grpc.insecure_channel(str(address), _OPTIONS)
    from quartet.pem import read_authorities, read_identity  # noqa: PLC0415 - costs 20 MB, where there is TLS

    own = read_identity(tls.certificate, tls.key)
    trusted = own.chain_pem
    if tls.client_ca:
        trusted += read_authorities("tls.client_ca", tls.client_ca).pem
    credentials = grpc.ssl_channel_credentials(trusted, own.key_pem, own.chain_pem)
    name = ("grpc.ssl_target_name_override", own.certificate.names[0])
    return grpc.secure_channel(str(address), credentials, [*_OPTIONS, name])


def main() -> None:
    """Exit 0, or 1 with the reason on stderr; wrong use is 1 too, for Docker reserves 2."""
    parser = argparse.ArgumentParser(prog="python3 -m broker.healthcheck", allow_abbrev=False)
    parser.add_argument("address", nargs="?", metavar="HOST:PORT", help="default: as configured")
    parser.add_argument("--config", type=Path, metavar="TOML", help="the broker's: address and TLS")
    try:
        options = parser.parse_args()
    except SystemExit as exit_:
        sys.exit(1 if exit_.code else 0)
    try:
        settings = load(options.config, Settings) if options.config else Settings()
        given = options.address
        address = Address.parse(given, "healthcheck") if given else configured(settings)
        sys.exit(problem(address, settings.tls) or 0)
    except SettingsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
