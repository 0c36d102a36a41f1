"""The transport by grpcio's asyncio server. All that is gRPC in the broker's server is here."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from broker.errors import ListenError, LostError
from broker.model import Code, Ending
from broker.transport import Handler, Health
from broker.transport.inbox import Inbox
from quartet.address import Address
from quartet.foreign import described, shown

if TYPE_CHECKING:
    from broker.credentials import Credentials

log = logging.getLogger(__name__)

_OPTIONS = [
    # A request has at most 31 bytes; nothing larger is one.
    ("grpc.max_receive_message_length", 4096),
    # Nor has a call more metadata than this; beyond the second it is not even told so.
    ("grpc.max_metadata_size", 8192),
    ("grpc.absolute_max_metadata_size", 16_384),
    # Who connects and says nothing, or has no stream any more, goes; an agent always has one.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
    # Agents ping every 20 s, idle or not. Ours find peers that vanished without a word.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]

# What grpc.aio may take to be through with the calls that were cut.
_CUT_S = 1.0

# What grpc.aio raises at a call that is over.
_LOST = (grpc.aio.BaseError, asyncio.InvalidStateError)

# What grpc.aio logs as an error where a peer has cancelled a call, or broken it while it ended.
_OVER = (asyncio.CancelledError, grpc.aio.InternalError)

Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcTransport:
    """Serves on one address, with gRPC's health and reflection. Loop only."""

    def __init__(
        self, address: Address, credentials: "Credentials | None", *, is_shared: bool = False
    ) -> None:
        """`is_shared`: other processes may listen on the same port, and get some of the agents."""
        self._address = address
        self._is_shared = is_shared
        self._credentials = credentials
        self._health = health.aio.HealthServicer()
        self._services: set[str] = set()

    async def start(self, handlers: Mapping[str, Handler]) -> int:
        """Accept calls of these methods; the port. ListenError where it cannot listen."""
        self._server = grpc.aio.server(
            options=[*_OPTIONS, ("grpc.so_reuseport", int(self._is_shared))]
        )
        self._server.add_generic_rpc_handlers((_Methods(handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._services = {method.split("/")[1] for method in handlers}
        names = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        port = self._listen()
        await self.show(Health.NOT_SERVING)
        await self._server.start()
        return port

    async def show(self, health: Health) -> None:
        """Tell this state from now on, for each service and for the server as a whole."""
        status = health_pb2.HealthCheckResponse.ServingStatus.Value(health.value)
        for name in (*self._services, ""):
            await self._health.set(name, status)

    async def stop(self, grace_s: float) -> None:
        """Accept no more; cut the calls that are left after the grace."""
        await self._server.stop(grace_s)
        # grpc.aio is not through with a call that was cut, and prints a traceback where the loop
        # closes before it is.
        if left := [task for task in asyncio.all_tasks() if _is_of_a_call(task)]:
            await asyncio.wait(left, timeout=_CUT_S)

    def _listen(self) -> int:
        try:
            if self._credentials:
                return self._server.add_secure_port(
                    str(self._address), _server_credentials(self._credentials)
                )
            return self._server.add_insecure_port(str(self._address))
        except RuntimeError as error:
            raise ListenError(
                f"cannot listen on {self._address}: the port is in use, or the address is not"
                f" this machine's; see 'ss -ltnp'"
            ) from error


class _Methods(grpc.GenericRpcHandler):
    """Gives a call to its handler. Messages stay bytes; a unary call is one message each way."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """How to serve this call; None: its method is unknown."""
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            return None

        async def serve(_: object, context: Context) -> None:
            await _serve(handler, _GrpcCall(method, context))

        found: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(serve)
        return found


class _GrpcCall:
    """A call as grpc.aio has it. Reads ahead of its handler, within bounds."""

    def __init__(self, method: str, context: Context) -> None:
        self.method = method
        self.peer = _host_and_port(context.peer())
        self.metadata = tuple(context.invocation_metadata() or ())
        self.certificate = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
        self.context = context
        self._inbox = Inbox()
        self._receiving = asyncio.create_task(self._receive())

    @property
    def ending(self) -> Ending | None:
        """The status that was asked for, if any."""
        return self._inbox.ending

    async def read(self) -> Sequence[bytes]:
        return await self._inbox.take()

    async def write(self, messages: Sequence[bytes]) -> None:
        write = self.context.write
        try:
            for message in messages:
                await write(message)
        except _LOST as error:
            raise LostError(f"the connection broke: {described(error)}") from error

    def end(self, ending: Ending) -> None:
        self._inbox.end(ending)
        self._receiving.cancel()

    def close(self) -> None:
        """Receive nothing more."""
        self._receiving.cancel()

    async def _receive(self) -> None:
        error: Exception | None = None
        inbox, read = self._inbox, self.context.read
        try:
            while isinstance(message := await read(), bytes):
                if inbox.put(message):
                    await inbox.room()
        except _LOST as raised:
            error = LostError(f"the connection broke: {described(raised)}")
        except Exception as raised:  # whatever it is: the handler waits to hear of it
            error = raised
        finally:
            self._inbox.close(error)


async def _serve(handler: Handler, call: _GrpcCall) -> None:
    try:
        await handler(call)
    except asyncio.CancelledError:
        if call.ending is None or call.context.done():  # by the peer, or a stop
            raise
    except LostError as error:
        log.debug("%s: %s", call.peer, error)
    except Exception:
        log.exception("%s: a call of %s failed", call.peer, call.method)
        call.end(Ending(Code.INTERNAL, "the broker failed; its log says how"))
    finally:
        call.close()
    if call.ending and call.ending.code is not Code.OK and not call.context.done():
        code = _CODES[call.ending.code.value]
        await call.context.abort(code, call.ending.reason, call.ending.trailing)


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _host_and_port(peer: str) -> str:
    """gRPC's `ipv4:127.0.0.1:1`, `ipv6:%5B::1%5D:1` as HOST:PORT."""
    return shown(unquote(peer.partition(":")[2]))


def _server_credentials(credentials: "Credentials") -> grpc.ServerCredentials:
    """Asked for news with each connection, on gRPC's threads."""
    told = credentials.version

    def configuration() -> grpc.ServerCertificateConfiguration:
        own, authorities = credentials.identity, credentials.authorities
        return grpc.ssl_server_certificate_configuration(
            [(own.key_pem, own.chain_pem)], authorities.pem if authorities else None
        )

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal told
        if told == (version := credentials.version):
            return None
        told = version
        return configuration()

    return grpc.dynamic_ssl_server_credentials(
        configuration(),
        fetch,  # type: ignore[arg-type] # None is documented, and not in the stubs
        credentials.authorities is not None,
    )


def _is_of_a_call(task: asyncio.Task[object]) -> bool:
    return getattr(task.get_coro(), "__name__", "") == "_schedule_rpc_coro"


def quiet_library() -> None:
    """Have grpc.aio's log tell news alone."""
    logging.getLogger("grpc._cython.cygrpc").addFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Whether grpc.aio tells more than that a call was over before its last words could be sent."""
    return not (record.exc_info and isinstance(record.exc_info[1], _OVER))
