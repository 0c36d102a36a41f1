"""What goes on over a connection: frames open calls, feed them and end them, and theirs go out."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress

from h2.errors import ErrorCodes
from h2.events import (
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from broker.model import Code, Ending
from broker.transport import Handler
from broker.transport.h2 import frames
from broker.transport.h2.call import H2Call
from broker.transport.h2.errors import ViolationError
from broker.transport.h2.guard import Guard
from broker.transport.h2.half_closed import HalfClosed
from broker.transport.h2.headers import Header, MalformedError, request
from broker.transport.h2.machine import (
    MOST_CALLS,
    MOST_HEADER_FRAMES_BYTES,
    machine,
    receive_settings,
)
from broker.transport.h2.outlet import Outlet
from broker.transport.h2.pulse import Pulse
from broker.transport.h2.windows import Inflow, Outflow

log = logging.getLogger(__name__)

_CUT = Ending(Code.UNAVAILABLE, "the broker is stopping")


class Exchange:
    """The calls of one connection, whose wire it is. Loop only."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        peer: str,
        outlet: Outlet,
        pulse: Pulse,
    ) -> None:
        """The outlet is closed when no call is open, and none is accepted any more."""
        self._handlers = handlers
        self._peer = peer
        self._outlet = outlet
        self._pulse = pulse
        self._machine = machine()
        self._guard = Guard()
        self._inflow = Inflow()
        self._outflow: Outflow[H2Call] = Outflow()
        self._calls: dict[int, H2Call] = {}
        self._half_closed = HalfClosed(outlet, self._guard)
        self._header_bytes = 0
        """Of headers that are not complete: CONTINUATION must follow."""
        self._window_bytes = frames.WINDOW_BYTES
        """With which each stream of the peer begins."""
        self._is_draining = False
        """Whether no call is accepted any more."""
        self.certificate: bytes | None = None
        """The peer's, as PEM."""

    @property
    def is_busy(self) -> bool:
        """Whether a call is open."""
        return bool(self._calls)

    # Frames

    def take(self, frame: frames.Frame) -> None:
        """Take a frame. ViolationError, or h2's ProtocolError, which has a GOAWAY ready."""
        kind, flags, stream_id, whole = frame
        if not self._is_ours(kind, stream_id):
            self._pass_on(kind, flags, stream_id, whole)
        elif kind == frames.DATA:
            self._take_data(flags, stream_id, whole[frames.HEAD_BYTES :])
        elif kind == frames.WINDOW_UPDATE:
            self._guard.frame(kind)
            self._take_window(stream_id, frames.increment(whole[frames.HEAD_BYTES :]))
        else:
            self._drain()

    def _is_ours(self, kind: int, stream_id: int) -> bool:
        """Whether h2 is not asked: frames of a stream that was never opened are its matter."""
        if self._header_bytes:
            return False
        if kind == frames.DATA:
            return 0 < stream_id <= self._machine.highest_inbound_stream_id
        if kind == frames.WINDOW_UPDATE:
            return stream_id <= self._machine.highest_inbound_stream_id
        return kind == frames.GOAWAY and stream_id == 0

    def _take_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size_bytes = len(payload)
        call = self._calls.get(stream_id)
        if not size_bytes or not call:
            self._guard.frame(frames.DATA)
        if credit := self._inflow.take(size_bytes):
            self.credit(0, credit)
        if not call:  # it is over, and its peer has not heard yet
            self._half_closed.receive(stream_id, size_bytes)
            if flags & frames.END_STREAM:
                self._half_closed.peer_ended(stream_id)
            return
        if flags & frames.PADDED:
            payload = frames.unpadded(payload)
        if call.has_peer_ended:
            self._break(stream_id, ErrorCodes.STREAM_CLOSED)
        elif not call.receive(payload, size_bytes):
            self._break(stream_id, ErrorCodes.FLOW_CONTROL_ERROR)
        elif flags & frames.END_STREAM:
            call.peer_ended()

    def _take_window(self, stream_id: int, size_bytes: int) -> None:
        if stream_id == 0:
            for call in self._outflow.open(size_bytes):
                call.pump()
        elif waiting := self._calls.get(stream_id):
            if not size_bytes:
                self._break(stream_id, ErrorCodes.PROTOCOL_ERROR)
            elif not waiting.open_window(size_bytes):
                self._break(stream_id, ErrorCodes.FLOW_CONTROL_ERROR)

    def _pass_on(self, kind: int, flags: int, stream_id: int, frame: bytes) -> None:
        """Have h2 read a frame."""
        self._guard.frame(kind)
        if not self._pulse.is_greeted and kind != frames.SETTINGS:
            raise ViolationError(ErrorCodes.PROTOCOL_ERROR, "SETTINGS must come first")
        if kind in {frames.HEADERS, frames.CONTINUATION}:
            is_whole = flags & frames.END_HEADERS
            self._header_bytes = 0 if is_whole else self._header_bytes + len(frame)
            if self._header_bytes > MOST_HEADER_FRAMES_BYTES:
                raise ViolationError(ErrorCodes.ENHANCE_YOUR_CALM, "headers without an end")
        if kind == frames.SETTINGS:
            events = receive_settings(self._machine, frame)
        else:
            events = self._machine.receive_data(frame)
        if kind == frames.RST_STREAM:
            self._half_closed.peer_ended(stream_id)
        self.flush()
        for event in events:
            self._heed(event)

    def _heed(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._open(event.stream_id or 0, event.headers)
            case StreamEnded():
                if call := self._calls.get(event.stream_id or 0):
                    call.peer_ended()
                self._half_closed.peer_ended(event.stream_id or 0)
            case StreamReset():
                self._guard.reset()
                if call := self._pop(event.stream_id or 0):
                    call.lose()
                    self._look_if_done()
            case RemoteSettingsChanged():
                self._pulse.is_greeted = True
                if changed := event.changed_settings.get(SettingCodes.INITIAL_WINDOW_SIZE):
                    self._change_windows(changed.new_value)

    def _change_windows(self, size_bytes: int) -> None:
        change, self._window_bytes = size_bytes - self._window_bytes, size_bytes
        for stream_id, call in [*self._calls.items()]:
            if not call.open_window(change):
                self._break(stream_id, ErrorCodes.FLOW_CONTROL_ERROR)

    # Calls

    def _open(self, stream_id: int, headers: Sequence[Header]) -> None:
        if self._is_draining or len(self._calls) >= MOST_CALLS:
            self._refuse(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        try:
            asked = request(headers)
        except MalformedError as error:
            log.debug("%s: %s", self._peer, error)
            self._refuse(stream_id, ErrorCodes.PROTOCOL_ERROR)
            return
        if asked.http_status != b"200":
            self.end(stream_id, [(b":status", asked.http_status)], has_peer_ended=False)
            return
        call = self._calls[stream_id] = H2Call(
            *(self, stream_id, asked),
            peer=self._peer,
            certificate=self.certificate,
            window_bytes=self._window_bytes,
        )
        self._outlet.has_several = len(self._calls) > 1
        if problem := asked.problem:
            call.refuse(problem)
        elif handler := self._handlers.get(asked.method):
            call.serve(handler)
        else:
            call.refuse(Ending(Code.UNIMPLEMENTED, "this method is not served here"))

    def _refuse(self, stream_id: int, code: ErrorCodes) -> None:
        self._guard.reset()
        self.forget(stream_id, code)

    def _break(self, stream_id: int, code: ErrorCodes) -> None:
        call = self._calls[stream_id]
        self.forget(stream_id, code)
        call.lose()

    @property
    def is_full(self) -> bool:
        """Whether the socket takes no more for now."""
        return self._outlet.is_full

    def send_headers(self, stream_id: int, headers: Sequence[Header]) -> None:
        """Send the headers of the answers."""
        self._machine.send_headers(stream_id, headers)
        self.flush()

    def send_data(self, call: H2Call, data: bytes, most_bytes: int) -> int:
        """Send as much as this and the connection's window permit; how many bytes that was."""
        size_bytes = self._outflow.take(min(len(data), most_bytes), call)
        if size_bytes > 0:
            self._guard.progress()
            self._outlet.send(frames.data_frames(call.stream_id, data[:size_bytes]))
        return size_bytes

    def credit(self, stream_id: int, size_bytes: int) -> None:
        """Let the peer send so much more on a stream; on all of them together, by 0."""
        self._outlet.send(frames.window_update(stream_id, size_bytes))

    def end(self, stream_id: int, headers: Sequence[Header], *, has_peer_ended: bool) -> None:
        """Send trailers, and forget a call."""
        self._machine.send_headers(stream_id, headers, end_stream=True)
        self.flush()
        self._reset(stream_id, ErrorCodes.NO_ERROR)  # for h2 alone: it has no more to do with it
        if not has_peer_ended:
            self._half_closed.add(stream_id)
        self._look_if_done()

    def forget(self, stream_id: int, code: ErrorCodes) -> None:
        """A call is over; reset its stream by this code."""
        self._guard.stream_reset()
        self._outlet.send(self._reset(stream_id, code))
        self._look_if_done()

    def _reset(self, stream_id: int, code: ErrorCodes) -> bytes:
        """What is to be sent so that a stream is over."""
        self._pop(stream_id)
        with suppress(StreamClosedError):
            self._machine.reset_stream(stream_id, code)
        return self._machine.data_to_send()

    def _pop(self, stream_id: int) -> H2Call | None:
        if call := self._calls.pop(stream_id, None):
            self._outflow.leave(call)
            self._outlet.has_several = len(self._calls) > 1
        return call

    # All of them

    def ping(self) -> None:
        """Ask the peer whether it is there."""
        self._machine.ping(bytes(8))
        self.flush()

    def look(self) -> None:
        """Some seconds have passed."""
        self._guard.forgive()
        self._half_closed.look()

    def stop(self) -> None:
        """Accept no more calls, and say so."""
        if not self._is_draining:
            self.say_goaway(ErrorCodes.NO_ERROR)
            self._drain()

    def _drain(self) -> None:
        self._is_draining = True
        self._look_if_done()

    def resume(self) -> None:
        """Let the calls write on."""
        for call in self._calls.values():
            call.wake_writer()

    def cancel(self) -> None:
        """Cut off whoever serves a call, and accept none. Each peer is told how its call ends."""
        self._half_closed.reset_all()
        for call in [*self._calls.values()]:
            call.end(_CUT)
            call.cancel()
        self._drain()

    def lose(self) -> None:
        """The peer is gone: cut off whoever serves a call of it."""
        self._half_closed.gone()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.lose()

    def say_goaway(self, code: ErrorCodes, text: str = "") -> None:
        """Say that no more calls are accepted, or that the connection ends by this code."""
        # Not by h2, which would not let the open calls end any more.
        last = self._machine.highest_inbound_stream_id
        frame = GoAwayFrame(0, last, error_code=code, additional_data=text.encode())
        self._outlet.send(frame.serialize())

    def _look_if_done(self) -> None:
        if self._is_draining and not self._calls:
            self._half_closed.finish()

    def flush(self) -> None:
        """Send what h2 has to say."""
        if data := self._machine.data_to_send():
            self._outlet.send(data)
