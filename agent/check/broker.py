"""The broker: whether it can be reached, is the right one, and speaks gRPC."""

import asyncio
import socket
import ssl

from agent.check.findings import Finding, Findings, failed, passed
from agent.config import TlsSettings
from quartet.address import Address
from quartet.foreign import shown

# A broker on a slow link answers within it; a firewall that drops never does.
_PATIENCE_S = 5.0


_OTHER_CA = "copy the ca.pem of the authority that signed it to this device"
_OTHER_NAMES = (
    "it is for other names",
    "set broker.address to a name in it, or run 'broker pki issue --host HOST' there",
)

# By OpenSSL's X509_V_ERR_*, which Python has no names for.
_MEANS = {
    9: (
        "by this clock it is not valid yet",
        "sudo timedatectl set-ntp true, on the machine with the wrong clock",
    ),
    10: ("by this clock it has expired", "broker pki renew --broker, on the broker's side"),
    26: (
        "it is for clients, such as agents, not for servers",
        "broker pki issue --host HOST, on the broker's side",
    ),
    62: _OTHER_NAMES,  # by a host name
    64: _OTHER_NAMES,  # by an address
}


def check_broker(
    address: Address, tls: TlsSettings | None, patience_s: float = _PATIENCE_S
) -> Findings:
    """A connection, the handshake where there is TLS, and the beginning of HTTP/2."""
    try:
        with socket.create_connection((address.host, address.port), patience_s) as connection:
            refusal = _refused(connection, address.host, tls) if tls else None
    except (OSError, UnicodeError) as error:  # the latter is a host name that cannot be one
        reason = getattr(error, "strerror", None) or str(error)
        yield failed(
            "broker",
            f"{address} cannot be reached: {shown(reason)}",
            "start it there with 'broker run', or set broker.address",
        )
        return
    if refusal:
        yield refusal
    elif asyncio.run(_speaks_grpc(address, tls, patience_s)):
        yield passed("broker", f"{address} answers{' by TLS' if tls else ''}")
    else:
        yield failed(
            "broker",
            f"{address} does not answer like a gRPC server",
            "check broker.address: another program listens there, or it requires TLS",
        )


def _refused(connection: socket.socket, host: str, tls: TlsSettings) -> Finding | None:
    """What is wrong with a handshake; None if nothing is. OpenSSL tells more than gRPC does."""
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.set_alpn_protocols(["h2"])
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key)
        with context.wrap_socket(connection, server_hostname=host) as secured:
            # In TLS 1.3 this side is done first: a refusal comes when it reads. gRPC
            # servers hang up without a word; any other byte is the beginning of HTTP/2.
            if secured.recv(1):
                return None
    except ssl.SSLCertVerificationError as error:
        reason, remedy = _MEANS.get(error.verify_code, (shown(error.verify_message), _OTHER_CA))
        return failed(
            "broker", f"this device does not accept the broker's certificate: {reason}", remedy
        )
    except (ssl.SSLError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or str(error)
        if reason == "WRONG_VERSION_NUMBER":
            return failed(
                "broker", "it does not use TLS", "configure [tls] on the broker, or remove it here"
            )
    wanted = "does not accept" if tls.certificate else "requires"
    return failed(
        "broker",
        f"it closes the connection after the handshake: it {wanted} a certificate of this device",
        "install a certificate that its client_ca has signed: see 'broker pki issue'",
    )


async def _speaks_grpc(address: Address, tls: TlsSettings | None, patience_s: float) -> bool:
    from agent.credentials.opening import open_credentials  # noqa: PLC0415 - half a second on a Pi

    async with open_credentials(tls).open_channel(
        str(address), [("grpc.enable_http_proxy", 0)]
    ) as channel:
        try:
            async with asyncio.timeout(patience_s):
                await channel.channel_ready()
        except TimeoutError:
            return False
    return True
