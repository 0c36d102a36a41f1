"""The brokers: whether each can be reached, is the right one, and speaks gRPC."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Sequence

from agent.check.findings import Finding, Findings, failed, passed
from agent.config import TlsSettings
from quartet.address import Address
from quartet.foreign import shown

# A broker on a slow link answers within it; a firewall that drops never does. It is spent twice
# at the most, so that the whole list is checked within 10 s.
_PATIENCE_S = 4.5

# For a connection that is given up at the last moment to say why.
_LAST_WORDS_S = 0.5


_OTHER_CA = "copy the ca.pem of the authority that signed it to this device"
_OTHER_NAMES = (
    "it is for other names than {host}",
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


def check_brokers(
    addresses: Sequence[Address], tls: TlsSettings | None, patience_s: float = _PATIENCE_S
) -> Findings:
    """A connection, the handshake where there is TLS, and the beginning of HTTP/2.

    All are asked at the same time: many that do not answer take no longer than one.
    """
    problems = _problems(addresses, tls, patience_s)
    reached = [each for each, problem in zip(addresses, problems, strict=True) if not problem]
    speaking = asyncio.run(_speaking(reached, tls, patience_s))
    for address, problem in zip(addresses, problems, strict=True):
        if problem:
            yield problem
        elif address in speaking:
            yield passed("broker", f"{address} answers{' by TLS' if tls else ''}")
        else:
            yield failed(
                "broker",
                f"{address} does not answer like a gRPC server",
                "check broker.address: another program listens there, or it requires TLS",
            )


def _problems(
    addresses: Sequence[Address], tls: TlsSettings | None, patience_s: float
) -> list[Finding | None]:
    """What is wrong with each; None if nothing is. One that is not known in time is left alone.

    A name server that does not answer, or a name with many addresses, takes as long as it likes.
    """
    unknown = f"cannot be reached: nothing is known of it within {patience_s:g} s"
    problems: list[Finding | None] = [
        failed("broker", f"{address} {unknown}", "check the name server and this network")
        for address in addresses
    ]

    def look(number: int) -> None:
        problems[number] = _problem(addresses[number], tls, patience_s)

    end_s = time.monotonic() + patience_s + _LAST_WORDS_S
    threads = [
        threading.Thread(target=look, args=(number,), name=f"check {address}", daemon=True)
        for number, address in enumerate(addresses)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    return [*problems]


def _problem(address: Address, tls: TlsSettings | None, patience_s: float) -> Finding | None:
    try:
        with socket.create_connection((address.host, address.port), patience_s) as connection:
            return _refused(connection, address, tls) if tls else None
    except socket.gaierror as error:
        reason, remedy = shown(error.strerror), "check the name in broker.address, or this network"
    except (OSError, UnicodeError) as error:  # the latter is a host name that cannot be one
        reason = shown(getattr(error, "strerror", None) or str(error))
        remedy = "start it there with 'broker run', or set broker.address"
    return failed("broker", f"{address} cannot be reached: {reason}", remedy)


def _refused(connection: socket.socket, address: Address, tls: TlsSettings) -> Finding | None:
    """What is wrong with a handshake; None if nothing is. OpenSSL tells more than gRPC does."""
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.set_alpn_protocols(["h2"])
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key)
        with context.wrap_socket(connection, server_hostname=address.host) as secured:
            # In TLS 1.3 this side is done first: a refusal comes when it reads. gRPC
            # servers hang up without a word; any other byte is the beginning of HTTP/2.
            if secured.recv(1):
                return None
    except ssl.SSLCertVerificationError as error:
        said = shown(error.verify_message).replace("{", "{{").replace("}", "}}")
        reason, remedy = _MEANS.get(error.verify_code, (said, _OTHER_CA))
        return failed(
            "broker",
            f"{address}: this device does not accept the broker's certificate:"
            f" {reason.format(host=address.host)}",
            remedy,
        )
    except (ssl.SSLError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or str(error)
        if reason == "WRONG_VERSION_NUMBER":
            return failed(
                "broker",
                f"{address} does not use TLS",
                "configure [tls] on the broker, or remove it here",
            )
    wanted = "does not accept" if tls.certificate else "requires"
    return failed(
        "broker",
        f"{address} closes the connection after the handshake: it {wanted} a certificate of this"
        " device",
        "install a certificate that its client_ca has signed: see 'broker pki issue'",
    )


async def _speaking(
    addresses: Sequence[Address], tls: TlsSettings | None, patience_s: float
) -> set[Address]:
    """Those that answer as a gRPC server does."""
    from agent.credentials.opening import open_credentials  # noqa: PLC0415 - half a second on a Pi

    async def speaks(address: Address) -> bool:
        channel = open_credentials(tls).open_channel(str(address), [("grpc.enable_http_proxy", 0)])
        async with channel:
            try:
                async with asyncio.timeout(patience_s):
                    await channel.channel_ready()
            except TimeoutError:
                return False
        return True

    answers = await asyncio.gather(*map(speaks, addresses))
    return {address for address, answer in zip(addresses, answers, strict=True) if answer}
