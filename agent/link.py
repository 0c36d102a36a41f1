"""Connected or not: one stream at a time, and what to do when it ends."""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import grpc

from agent.config import LinkSettings
from agent.credentials import Credentials
from agent.homeward import Homeward
from agent.model import Identity, Prediction, Sample
from agent.reach.names import Names
from agent.reach.questions import ADVICE, SEE_LOG, Connection, Questions
from agent.reach.reasons import word
from agent.reach.way import Way
from agent.reason import UnreachedError
from agent.state import LinkState
from agent.stream import Ending, Outbox, Stream
from agent.turn import Turn, ranked
from quartet.address import Address
from quartet.backoff import Backoff
from quartet.clock import Clock
from quartet.outage import Outage
from wire import METHOD_PATH

log = logging.getLogger(__name__)

# What a broken link or a restarting broker looks like: worth the same request again.
RETRYABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.OK,
    }
)

_CHANCE = random.Random()  # noqa: S311 - waits are no secret

# One refusal may be the broker's bad moment; three of a sample sent alone are the sample.
_MOST_REFUSALS = 3

# A try that takes too long is given up, and the next one waits twice as long, up to this factor:
# a slow broker is reached late, and one that hangs is soon left for another.
_MOST_PATIENCE = 8


class Link:
    """Brings every sample of the outbox to the broker and its prediction to `deliver`. Loop only.

    A broken link is left for a new connection: to the next broker at once, and with exponential
    backoff once all were tried. Away from its home broker, the link goes back when that one
    serves again. A refusal of the whole stream is logged as an error and tried again slowly, at
    home: another broker would refuse it too. A sample that is refused again and again is given
    up, logged and counted. `opened` hears of each stream's first answer, with its channel.
    """

    def __init__(
        self,
        identity: Identity,
        brokers: Sequence[Address],
        settings: LinkSettings,
        outbox: Outbox,
        deliver: Callable[[Prediction], None],
        *,
        credentials: Credentials,
        proxy: Address | None = None,
        names: Names | None = None,
        opened: Callable[[grpc.aio.Channel], None] = lambda _: None,
        clock: Clock = time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: random.Random = _CHANCE,
    ) -> None:
        self._identity = identity
        self._credentials = credentials
        self._way = Way(credentials, settings.keepalive_s, proxy, names)
        self._questions = Questions(self._way, identity.agent_id)
        self._patience_s = settings.reply_deadline_s  # of the present channel, or the next
        self._settings = settings
        self._outbox = outbox
        self._deliver = deliver
        self._opened = opened
        self._is_answered = False  # the present stream
        self._backoff = Backoff(settings.backoff_min_s, settings.backoff_max_s, chance)
        self._turn = Turn(ranked(identity.agent_id, brokers), self._backoff)
        self._homeward = Homeward(self._home_serves, chance, sleep)
        self._hurry = asyncio.Event()
        self._channel: grpc.aio.Channel | None = None
        self._clock = clock
        self._outage = Outage(log, clock, level=logging.WARNING)
        self._refusals: Counter[tuple[str, int]] = Counter()
        self._streamed = False
        self.state = LinkState.CONNECTING
        self.since_s = clock.monotonic()
        """When it began to stream, or to be without a stream, on the monotonic clock."""
        self.trouble = ""
        self.reconnects = 0
        self.answers_expired = 0
        self.unknown_answers = 0

    @property
    def broker(self) -> Address:
        """The broker that it streams to, or tries."""
        return self._turn.present

    @property
    def home(self) -> Address | None:
        """The broker that it prefers, where it has a choice."""
        return None if self._turn.is_alone else self._turn.home

    @property
    def _is_home(self) -> bool:
        return self.broker == self._turn.home

    async def run(self) -> None:
        """Return when the outbox has ended and each of its samples is settled."""
        try:
            while head := await self._outbox.read(1):
                ending = await self._stream(head[0])
                if ending.was_idle and _is_broken(ending):
                    log.debug("%s: an idle connection was closed: %s", self.broker, ending.details)
                    self._outbox.rewind()
                    await self._close_channel()
                elif ending.in_good_order:
                    self._outbox.rewind()
                    if self._homeward.is_due:
                        self._go_home()
                        await self._close_channel()
                    elif self._credentials.is_stale():
                        await self._close_channel()
                else:
                    self._homeward.stop()
                    broker = self.broker
                    delay_s = self._judge(ending)
                    self._outbox.rewind()
                    await self._close_channel()
                    self._say_whose_trouble(broker)
                    await self._pause(delay_s)
                    if self.state is LinkState.REFUSED and not self._is_home:
                        self._try_home()
        finally:
            self._homeward.stop()
            await self._close_channel()

    def hurry(self) -> None:
        """Try again at once, if waiting to: the agent is stopping."""
        self._backoff.reset()
        self._hurry.set()

    async def _stream(self, first: Sample) -> Ending:
        self._is_answered = False
        try:
            if self._channel is None:
                self._channel = await self._way.channel(self.broker, self._patience_s)
        except UnreachedError as error:
            return Ending(grpc.StatusCode.UNAVAILABLE, str(error), reason=error.reason)
        open_call: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        open_call = self._channel.stream_stream(METHOD_PATH)
        here = Connection(self.broker, self._channel, self._patience_s)
        stream = Stream(
            self._outbox,
            self._answered,
            lambda: self._homeward.is_due or self._credentials.is_stale(),
            self._settings.window,
            self._settings.reply_deadline_s,
            doubt=partial(self._questions.doubt, here),
            clock=self._clock,
        )
        try:
            ending = await stream.run(
                self._identity, first, lambda metadata: open_call(metadata=metadata)
            )
        finally:
            self.unknown_answers += stream.unknown_answers
        reason = ending.reason or await self._questions.reason_of(here, ending.details)
        return replace(ending, reason=reason)

    async def _home_serves(self) -> bool:
        return await self._questions.serves(self._turn.home, self._settings.reply_deadline_s)

    def _try_home(self) -> None:
        broker = self.broker
        self._turn.refused()
        self.state = LinkState.WAITING
        self._say_whose_trouble(broker)

    def _say_whose_trouble(self, broker: Address) -> None:
        """Name this broker in the trouble, if another one is tried now."""
        if broker != self.broker:
            self.trouble = f"{broker}: {self.trouble}"

    def _go_home(self) -> None:
        self._homeward.stop()
        log.info("%s serves again: the agent leaves %s and goes home", self._turn.home, self.broker)
        self._turn.go_home()

    async def _close_channel(self) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def _pause(self, delay_s: float) -> None:
        # Not wait_for(), which before Python 3.12 may swallow a cancellation.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._hurry.wait()
        self._hurry.clear()

    def _answered(self, prediction: Prediction) -> None:
        if self.state is not LinkState.STREAMING:
            self._recovered()
        if not self._is_answered and self._channel:
            self._is_answered = True
            self._patience_s = self._settings.reply_deadline_s
            self._turn.answered()
            if self._is_home:
                self._homeward.arrived()
            else:
                self._homeward.away()
            self._opened(self._channel)
        self._deliver(prediction)

    def _recovered(self) -> None:
        if self._outage.is_on:
            self._outage.ended("streaming to %s", self.broker)
        else:
            log.info("streaming to %s", self.broker)
        self.reconnects += self._streamed
        self._streamed = True
        self.state, self.trouble = LinkState.STREAMING, ""
        self.since_s = self._clock.monotonic()
        self._refusals.clear()

    def _judge(self, ending: Ending) -> float:
        """Say what ended the stream; give the seconds to wait before the next."""
        streamed_s = 0.0
        if self.state is LinkState.STREAMING:
            now_s = self._clock.monotonic()
            streamed_s, self.since_s = now_s - self.since_s, now_s
        self.state = LinkState.WAITING
        if reason := ending.reason:
            self.trouble = reason.text
        else:
            self.trouble = word(ending.code.name, ending.details, ending.server)
        if reason and reason.is_late:
            most_s = _MOST_PATIENCE * self._settings.reply_deadline_s
            self._patience_s = min(2 * self._patience_s, most_s)
        if ending.refused is not None:
            return self._judge_refusal(ending, ending.refused)
        if ending.superseded_by is not None:
            agent_id = self._identity.agent_id
            return self._refused_loudly(
                f"another agent uses the id {agent_id!r}: give each device its own id"
            )
        if ending.code not in RETRYABLE:
            advice = reason.remedy if reason else ADVICE.get(ending.code, SEE_LOG)
            return self._refused_loudly(advice)
        return self._leave(streamed_s)

    def _leave(self, streamed_s: float) -> float:
        """Take the next broker, where there is one; the seconds to wait before it."""
        broken = self.broker
        if self._turn.is_homecoming:
            self._homeward.failed()
        delay_s = self._turn.broken(streamed_s)
        next_one = "" if self._turn.is_alone else f", next at {self.broker}"
        self._outage.failed(
            "no connection to %s (%s): the agent keeps its samples and retries%s",
            broken,
            self.trouble,
            next_one,
        )
        return delay_s

    def _refused_loudly(self, advice: str) -> float:
        self._outage.begin()
        home = self.broker
        if self._turn.go_back():
            self._homeward.failed()
            log.warning(
                "%s refuses the stream (%s): %s; the agent goes back to %s",
                *(home, self.trouble, advice, self.broker),
            )
            return 0.0
        self.state = LinkState.REFUSED
        log.error(
            "%s refuses the stream (%s): %s; the agent keeps its samples, next try in %g s",
            *(self.broker, self.trouble, advice, self._backoff.max_s),
        )
        return self._backoff.max_s

    def _judge_refusal(self, ending: Ending, sample: Sample) -> float:
        """Give a sample up when its answer is gone, or when it alone was refused too often."""
        self._outage.begin()
        key = sample.session.id, sample.id
        self._refusals[key] += ending.alone
        expired = ending.code is grpc.StatusCode.OUT_OF_RANGE
        if expired or self._refusals[key] >= _MOST_REFUSALS:
            self.answers_expired += expired
            self._outbox.settle(sample, answered=False)
            log.error("sample %d gets no prediction (%s)", sample.id, self.trouble)
            return 0.0
        log.warning("sample %d was refused (%s): trying again", sample.id, self.trouble)
        return self._backoff.next_s()


def _is_broken(ending: Ending) -> bool:
    """Whether it is worth the same request again, and nobody took the agent's place."""
    return ending.code in RETRYABLE and ending.superseded_by is None
