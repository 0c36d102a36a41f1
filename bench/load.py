"""A load of agents on a broker: many streams from one process, every answer checked.

Prints one JSON object, a Report. In both modes each stream opens with one sample, as agents do; a
stream whose first sample gets no answer is not served and takes no further part.
"""

import argparse
import contextlib
import dataclasses
import json
import select
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from bench import usage
from bench.stream import Metadata, Stream, StreamError
from bench.tls import context
from bench.traffic import Traffic

# The agent's own default of unanswered samples.
_WINDOW = 512
# What a line gets before it is measured, where its black box learns first: chart's warm-up ends
# after 300 to 480 samples.
_WARM_UP = {"parity": 0, "chart": _WINDOW}
# Streams that warm up at a time: no more waits in the server than in the run itself.
_GROUP = 50
# At the most, for all of them.
_WARM_UP_S = 60.0
# No answer on any stream for so long: what has none will get none.
_STALL_S = 3.0
# A run that takes longer is cut, and reports what it had by then.
_DEADLINE_S = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What one load saw; all but the streams' numbers is of the part after their opening."""

    opened: int  # streams
    served: int  # streams whose first sample was answered
    opening_s: float  # from the first connection until all first samples are answered
    sent: int  # messages; paced: those that were due
    answered: int  # messages
    elapsed_s: float  # until the last answer
    server_cpu_s: float
    load_cpu_s: float  # of this process: near elapsed_s, the load is the bottleneck
    others_cpu_s: float  # of all other processes here: noise
    server_rss_mb: float  # at the end, with all streams open
    p50_ms: float | None = None  # round trip, paced only; what has no answer counts with its age
    p99_ms: float | None = None


class Fleet:
    """The streams of one run, and the poll that drives them."""

    def __init__(
        self,
        address: tuple[str, int],
        size: int,
        traffic: Traffic,
        metadata: Sequence[Metadata] = (),
        *,
        tls: ssl.SSLContext | None = None,
        stall_s: float = _STALL_S,
        deadline_s: float = _DEADLINE_S,
    ) -> None:
        """`metadata`: of each stream's call; none, where they are plain peers."""
        self._stall_s = stall_s
        self._deadline_s = deadline_s
        self.began_s = self.last_answer_s = time.perf_counter()
        self._give_up_s = self.began_s + deadline_s
        self.opening_s = 0.0
        self._epoll = select.epoll()  # before the sockets, for a low number: see poll
        of_calls = metadata or [()] * size
        self.streams = [Stream(*address, traffic, each, tls) for each in of_calls]
        self._by_fd = {stream.fileno(): stream for stream in self.streams}
        for fd in self._by_fd:
            self._epoll.register(fd, select.EPOLLIN)
        self._writing: set[int] = set()

    def close(self) -> None:
        """Leave all streams."""
        for stream in self.streams:
            stream.close()
        self._epoll.close()

    def is_over(self) -> bool:
        """Whether the deadline has passed, or no answer has come for long."""
        now_s = time.perf_counter()
        return now_s > self._give_up_s or now_s - self.last_answer_s > self._stall_s

    def wait(self, done: Callable[[], bool]) -> None:
        """Poll until done or over."""
        self.last_answer_s = time.perf_counter()
        while not done() and not self.is_over():
            for _ in self.poll(0.1):
                pass

    def poll(self, timeout_s: float) -> Iterator[tuple[Stream, int]]:
        """Wait for the server; yield each stream that has new answers, and how many."""
        # epoll's own timeout is in whole milliseconds, longer than most round trips here.
        select.select([self._epoll], [], [], max(0.0, timeout_s))
        for fd, event in self._epoll.poll(0, len(self._by_fd)):
            stream = self._by_fd[fd]
            if event & select.EPOLLOUT:
                stream.flush()
            if event & ~select.EPOLLOUT and (answers := stream.receive()):
                self.last_answer_s = time.perf_counter()
                yield stream, answers
            self._watch(stream)

    def release(self, stream: Stream, count: int) -> None:
        """Let a stream send its messages up to `count` in all."""
        stream.release(count)
        self._watch(stream)

    def _watch(self, stream: Stream) -> None:
        """Poll for room in the socket's buffer exactly while it lacks."""
        fd = stream.fileno()
        if stream.wants_write != (fd in self._writing):
            self._writing ^= {fd}
            events = select.EPOLLIN | (select.EPOLLOUT if stream.wants_write else 0)
            self._epoll.modify(fd, events)

    def open(self, at_once: int = 0) -> list[Stream]:
        """Open each stream with one sample; return those that were served.

        `at_once`: the size of a group; the next one opens when it is open. 0: all at once.
        """
        self.wait(lambda: all(stream.is_ready for stream in self.streams))
        step = at_once or len(self.streams)
        for first in range(0, len(self.streams), step):
            opening = self.streams[first : first + step]
            for stream in opening:
                stream.open()
                self.release(stream, 1)
            self.wait(partial(_are_answered, opening, 1))
        self.last_answer_s = time.perf_counter()
        self.opening_s = self.last_answer_s - self.began_s
        return [stream for stream in self.streams if stream.answered]

    def warm_up(self, streams: Sequence[Stream], count: int) -> None:
        """Have a number of further samples of each stream answered; the deadline begins again."""
        self._give_up_s = time.perf_counter() + _WARM_UP_S
        for first in range(0, len(streams), _GROUP):
            group = streams[first : first + _GROUP]
            for stream in group:
                self.release(stream, 1 + count)
            self.wait(partial(_are_answered, group, 1 + count))
        if not _are_answered(streams, 1 + count):
            raise StreamError("the server did not answer the warm-up in time")
        self._give_up_s = time.perf_counter() + self._deadline_s


def _are_answered(streams: Sequence[Stream], count: int) -> bool:
    return all(stream.answered >= count for stream in streams)


class Meter:
    """Time and processor time since it was made, and the answers since."""

    def __init__(self, server_pid: int, served: Sequence[Stream]) -> None:
        self._server_pid = server_pid
        self._sent = sum(stream.sent for stream in served)
        self._answered = sum(stream.answered for stream in served)
        self.started_s = time.perf_counter()
        self._server_cpu_s = usage.cpu_s(server_pid)
        self._load_cpu_s = time.process_time()
        self._machine_cpu_s = usage.machine_cpu_s()

    def report(self, fleet: Fleet, served: list[Stream]) -> Report:
        """Everything but the round trips, as of now."""
        server_cpu_s = usage.cpu_s(self._server_pid) - self._server_cpu_s
        load_cpu_s = time.process_time() - self._load_cpu_s
        machine_cpu_s = usage.machine_cpu_s() - self._machine_cpu_s
        return Report(
            opened=len(fleet.streams),
            served=len(served),
            opening_s=fleet.opening_s,
            sent=sum(stream.sent for stream in served) - self._sent,
            answered=sum(stream.answered for stream in served) - self._answered,
            elapsed_s=max(0.0, fleet.last_answer_s - self.started_s),
            server_cpu_s=server_cpu_s,
            load_cpu_s=load_cpu_s,
            others_cpu_s=max(0.0, machine_cpu_s - server_cpu_s - load_cpu_s),
            server_rss_mb=usage.resident_mb(self._server_pid),
        )


def pipelined(
    fleet: Fleet, served: list[Stream], traffic: Traffic, messages: int, server_pid: int
) -> Report:
    """Keep a window of unanswered samples on each stream until `messages` in all are answered."""
    meter = Meter(server_pid, served)
    for stream in served:
        fleet.release(stream, stream.answered + _WINDOW)
    answered = 0
    while answered < messages and not fleet.is_over():
        for stream, answers in fleet.poll(0.1):
            answered += answers
            fleet.release(stream, min(stream.answered + _WINDOW, traffic.count))
    return meter.report(fleet, served)


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """A paced load, on each stream."""

    rate_hz: float
    seconds: float


def paced(fleet: Fleet, served: list[Stream], pace: Pace, server_pid: int) -> Report:
    """Send on each stream at a pace, the streams' turns spread evenly; time each round trip."""
    warm = served[0].answered if served else 0  # of each alike
    gap_s = 1 / (pace.rate_hz * max(1, len(served)))
    sent_at_s: dict[Stream, list[float]] = {stream: [] for stream in served}
    round_trips_s: list[float] = []

    def take(timeout_s: float) -> None:
        for stream, answers in fleet.poll(timeout_s):
            now_s = time.perf_counter()
            end = stream.answered - warm
            round_trips_s.extend(now_s - at_s for at_s in sent_at_s[stream][end - answers : end])

    meter = Meter(server_pid, served)
    for turn in range(round(pace.seconds * pace.rate_hz) * len(served)):
        due_s = meter.started_s + turn * gap_s
        take(0)
        while (early_s := due_s - time.perf_counter()) > 0:
            take(early_s)
        stream = served[turn % len(served)]
        sent_at_s[stream].append(time.perf_counter())
        fleet.release(stream, warm + 1 + turn // len(served))
    patience_s = time.perf_counter() + _STALL_S
    offered = sum(map(len, sent_at_s.values()))
    while len(round_trips_s) < offered and time.perf_counter() < patience_s:
        take(0.1)
    report = meter.report(fleet, served)
    now_s = time.perf_counter()
    for stream in served:
        round_trips_s.extend(now_s - at_s for at_s in sent_at_s[stream][stream.answered - warm :])
    if report.answered == offered:
        _end(fleet, served)
    return dataclasses.replace(
        report,
        sent=offered,
        p50_ms=_quantile_ms(round_trips_s, 0.5),
        p99_ms=_quantile_ms(round_trips_s, 0.99),
    )


def _end(fleet: Fleet, served: list[Stream]) -> None:
    """Close our sides; the server must end each stream with status 0."""
    for stream in served:
        stream.finish()
    fleet.wait(lambda: all(stream.is_ended for stream in served))
    if left := sum(not stream.is_ended for stream in served):
        raise StreamError(f"server did not end {left} of {len(served)} streams")


def _quantile_ms(values_s: list[float], share: float) -> float | None:
    ordered = sorted(values_s)
    return ordered[int(share * (len(ordered) - 1))] * 1e3 if ordered else None


def main() -> int:
    """Run one load and print its report; 1 if a stream broke or an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", required=True, metavar="HOST:PORT")
    parser.add_argument("--pid", type=int, required=True, help="of the server, to read its usage")
    parser.add_argument("--streams", type=int, required=True)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--messages", type=int, help="pipelined: so many answers in all")
    mode.add_argument("--seconds", type=float, help="paced: so long")
    parser.add_argument("--rate", type=float, default=20.0, help="paced: samples/s of each stream")
    parser.add_argument("--predictor", choices=sorted(_WARM_UP), default="parity")
    parser.add_argument("--ca", type=Path, help="by TLS, trusting this authority")
    parser.add_argument("--warm-up", type=int, help="samples of each stream before the run")
    arguments = parser.parse_args()
    host, _, port = arguments.broker.rpartition(":")
    # One stream may do nearly all of it; paced, each does the same.
    longest = arguments.messages or round(arguments.seconds * arguments.rate)
    given = arguments.warm_up
    warm_up = _WARM_UP[arguments.predictor] if given is None else given
    traffic = Traffic.of(1 + warm_up + longest + _WINDOW, arguments.predictor)
    place = (host, int(port)), arguments.streams, traffic
    tls = context(arguments.ca) if arguments.ca else None
    try:
        with contextlib.closing(Fleet(*place, tls=tls)) as fleet:
            served = fleet.open()
            if warm_up:
                fleet.warm_up(served, warm_up)
            if arguments.messages:
                report = pipelined(fleet, served, traffic, arguments.messages, arguments.pid)
            else:
                pace = Pace(arguments.rate, arguments.seconds)
                report = paced(fleet, served, pace, arguments.pid)
    except StreamError as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    print(json.dumps(dataclasses.asdict(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
