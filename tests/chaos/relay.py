"""A gRPC relay to the broker that says some answers twice, the second time wrong."""

import asyncio
import contextlib
import random

import grpc
from support.peers import Peer, plain_stream

from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.metadata import REFUSED_ID, SUPERSEDED_BY, StreamHeader

Call = grpc.aio.StreamStreamCall[BrokerRequest, BrokerResponse]

_REPEATED = 0.1  # of the answers are followed by an older one
_INVENTED = 0.02  # are followed by one to an id that was never sent

_TOLD = (REFUSED_ID, SUPERSEDED_BY)

# No session of a run comes so far.
_NEVER_SENT = 2**30


class Relay:
    """Passes streams on; an agent must take none of what it adds."""

    def __init__(self, broker_port: int, random_: random.Random) -> None:
        self._address = f"127.0.0.1:{broker_port}"
        self._random = random_

    async def serve(self, peer: Peer) -> None:
        """Relay one stream to its end, whose status is the broker's."""
        header = StreamHeader.from_metadata(peer.metadata.items())
        metadata = header.to_metadata() if header else ()
        async with plain_stream(self._address, metadata) as call:
            up = asyncio.create_task(self._pass_up(peer, call))
            try:
                await self._pass_down(peer, call)
                trailing = tuple(await call.trailing_metadata())
                code, details = await call.code(), await call.details()
            finally:
                up.cancel()
                await asyncio.wait([up])
        if code is not grpc.StatusCode.OK:
            told = {
                key: str(value) for key, value in trailing if key in (REFUSED_ID, SUPERSEDED_BY)
            }
            await peer.abort(code, details, **told)

    async def _pass_up(self, peer: Peer, call: Call) -> None:
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            while (request := await peer.read()) is not None:
                await call.write(request)
            await call.done_writing()

    async def _pass_down(self, peer: Peer, call: Call) -> None:
        answered: list[tuple[int, bool]] = []
        with contextlib.suppress(grpc.RpcError):
            async for answer in call:
                await peer.answer(answer.id, answer.prediction)
                answered.append((answer.id, answer.prediction))
                if self._random.random() < _REPEATED:
                    # Ids rise in a stream: none that is behind can be waited for again.
                    id_, prediction = self._random.choice(answered)
                    await peer.answer(id_, not prediction)
                if self._random.random() < _INVENTED:
                    await peer.answer(_NEVER_SENT + answer.id, True)
