"""Asks the broker what is behind its answers: how far it has learned, and why there is an alarm."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import grpc

from agent import codec
from agent.model import Prediction, Standing
from wire import STATE_METHOD_PATH

# A question costs the broker about as much as a few samples: no more often than this.
_EVERY_S = 1.0

# A reason may come late, and a predictor is reset without a change in its answers.
_AGAIN_S = 10.0

# An answer that comes later is of the past.
_DEADLINE_S = 5.0


class Inquiry:
    """A sink that asks when a stream opens, when the prediction changes, and while it learns.

    Further at rests of `again_s`, as not every change shows in a prediction; and soon again after
    a question that failed. It uses the link's channel, delays no sample, and fails without a
    word: a broker need not serve this. Loop only.
    """

    def __init__(
        self,
        agent_id: str,
        *,
        deadline_s: float = _DEADLINE_S,
        again_s: float = _AGAIN_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._metadata = (("agent-id", agent_id),)
        self._deadline_s = deadline_s
        self._again_s = again_s
        self._sleep = sleep
        self._channel: grpc.aio.Channel | None = None
        self._is_served = True
        self._first: Prediction | None = None  # of the present run of equal ones
        self._due = asyncio.Event()
        self.standing = Standing()
        """What the broker said last; without an alarm of before the latest prediction changed."""

    def opened(self, channel: grpc.aio.Channel) -> None:
        """A stream on this channel has its first answer."""
        if channel is not self._channel:
            self._channel, self._is_served = channel, True
            self.standing = Standing()
        self._due.set()

    def emit(self, prediction: Prediction) -> None:
        """Ask at a prediction that differs from the one before."""
        if self._first is None or prediction.value is not self._first.value:
            self._first = prediction
            self.standing = _without_alarm(self.standing)
            self._due.set()

    def close(self) -> None:
        """Nothing is held back."""

    def __str__(self) -> str:
        return "the inquiry"

    async def run(self) -> None:
        """Ask whenever it is due, one question at a time."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._again_s):
                    await self._due.wait()
            self._due.clear()
            if self._channel and self._is_served:
                await self._ask(self._channel)
                await self._sleep(_EVERY_S)
            if self._channel and self._is_served and self.standing.is_learning:
                self._due.set()

    async def _ask(self, channel: grpc.aio.Channel) -> None:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        first = self._first
        try:
            call = channel.unary_unary(STATE_METHOD_PATH)
            message = await call(
                codec.STATE_REQUEST, metadata=self._metadata, timeout=self._deadline_s
            )
            standing = codec.decode_standing(message)
        except grpc.aio.UsageError:  # the channel was closed: the next stream has another one
            self._leave(channel)
        except ValueError:
            self._is_served = channel is not self._channel
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                self._due.set()
            elif channel is self._channel:
                self._is_served = False
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._leave(channel)  # closed meanwhile, which is how grpc.aio tells it
        else:
            if channel is self._channel:
                self.standing = standing if self._first is first else _without_alarm(standing)

    def _leave(self, channel: grpc.aio.Channel) -> None:
        if channel is self._channel:
            self._channel = None


def _without_alarm(standing: Standing) -> Standing:
    if standing.alarm_since_ns is None and not standing.reason:
        return standing
    return replace(standing, alarm_since_ns=None, reason="")
