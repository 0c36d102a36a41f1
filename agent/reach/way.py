"""The way to a broker: a channel to every address that its name has."""

import ipaddress

import grpc

from agent.credentials import Credentials, Options
from agent.reach.names import Addresses, Names
from agent.reach.reasons import reason_of
from agent.reason import Reason, Stage, UnreachedError
from quartet.address import Address


class Way:
    """Opens channels to brokers, each after a fresh look at the name. Loop only.

    gRPC gets addresses, as its own resolver knows DNS alone. Certificate and `:authority` are
    those of the name, as before.
    """

    def __init__(
        self,
        credentials: Credentials,
        keepalive_s: float,
        proxy: Address | None = None,
        names: Names | None = None,
    ) -> None:
        """`proxy` connects by HTTP CONNECT, and looks the broker's name up itself."""
        self._credentials = credentials
        self._keepalive_s = keepalive_s
        self._proxy = proxy
        self._names = names or Names()
        self._found: dict[Address, Addresses] = {}

    async def channel(self, broker: Address, patience_s: float) -> grpc.aio.Channel:
        """The latest channel, with the files as they are now. UnreachedError: no address.

        The patience is for the name, and again for the connection with its handshakes.
        """
        await self.find(broker, patience_s)
        return self.to_found(broker, patience_s)

    async def beside(self, broker: Address, patience_s: float) -> grpc.aio.Channel:
        """A channel for a question beside the latest one. UnreachedError as above."""
        await self.find(broker, patience_s)
        return self._credentials.open_beside(*self._to(broker, patience_s))

    async def find(self, broker: Address, patience_s: float) -> None:
        """Look the name up. UnreachedError: no address in time."""
        via = self._proxy or broker
        setting = "broker.proxy" if self._proxy else "broker.address"
        self._found[broker] = await self._names.addresses(via.host, patience_s, setting)

    def to_found(self, broker: Address, patience_s: float) -> grpc.aio.Channel:
        """The latest channel, to all addresses as found last. UnreachedError: no such name."""
        return self._credentials.open_channel(*self._to(broker, patience_s))

    def to_each(self, broker: Address, patience_s: float) -> list[grpc.aio.Channel]:
        """A channel to each address of the broker's name, as found last, if there are several."""
        addresses = self._found.get(broker, ())
        if self._proxy or len(addresses) == 1:
            return []
        options = self._options(broker, patience_s)
        targets = [target((address,), broker.port) for address in addresses]
        return [self._credentials.open_beside(each, options) for each in targets]

    def reason_of(self, details: str, patience_s: float) -> Reason | None:
        """Why a call failed on this way; None where what gRPC says may be the broker's word."""
        by_proxy = self._proxy is not None
        return reason_of(details, self._credentials, patience_s, by_proxy=by_proxy)

    def _to(self, broker: Address, patience_s: float) -> tuple[str, Options]:
        port = (self._proxy or broker).port
        return target(self._found[broker], port), self._options(broker, patience_s)

    def _options(self, broker: Address, patience_s: float) -> Options:
        options: list[tuple[str, int | str]] = [
            # A channel shares its connection with others to the same address, unless told not
            # to: a new channel would come back to a connection that is half open.
            ("grpc.use_local_subchannel_pool", 1),
            # A proxy of the environment is for the web; it would carry samples off this machine.
            ("grpc.enable_http_proxy", 0),
            ("grpc.keepalive_time_ms", int(self._keepalive_s * 1000)),
            ("grpc.http2.max_pings_without_data", 0),
            # Probes for a wider window than a stream of small messages needs: a ping for each
            # few samples, and timers that wake gRPC's threads thirty times a second.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.enable_retries", 0),
            # By these names gRPC means the time that a connection and its handshakes may take.
            ("grpc.min_reconnect_backoff_ms", int(patience_s * 1000)),
            ("grpc.initial_reconnect_backoff_ms", int(patience_s * 1000)),
            ("grpc.default_authority", _authority(broker)),
            # A dot at the end is DNS's alone: certificates have none.
            ("grpc.ssl_target_name_override", _ascii(broker.host.partition("%")[0]).rstrip(".")),
        ]
        if self._proxy:
            options.append(("grpc.http_connect_server", _authority(broker)))
        return options


def target(addresses: Addresses, port: int) -> str:
    """gRPC's way to name several addresses: of one family, so IPv4 is written as IPv6 if mixed."""
    hosts = [(ipaddress.ip_address(host), scope) for host, scope in addresses]
    if all(host.version == 4 for host, _ in hosts):
        return "ipv4:" + ",".join(f"{host}:{port}" for host, _ in hosts)
    written = (
        f"[::ffff:{host}]" if host.version == 4 else f"[{host}%25{scope}]" if scope else f"[{host}]"
        for host, scope in hosts
    )
    return "ipv6:" + ",".join(f"{host}:{port}" for host in written)


def _authority(broker: Address) -> str:
    return str(Address(_ascii(broker.host), broker.port))


def _ascii(host: str) -> str:
    """As DNS and HTTP write a host name of another script."""
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        text = f"{host!r} cannot be a host name"
        raise UnreachedError(Reason(Stage.NAME, text, "check broker.address")) from None
