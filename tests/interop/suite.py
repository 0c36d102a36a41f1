"""What each client of another making must meet at a real broker."""

import signal

from support.processes import Broker

from interop.peer import Peer, answers, statuses
from interop.ways import Way
from wire import SERVICE

MOST_BYTES = 4096
DEADLINE_S = 1.0


class Suite:
    """The cases. Fixtures give the peer, its way to a broker, and an address at the way's end."""

    def test_answers_are_equal_and_in_order(self, peer: Peer, address: str) -> None:
        outcome = peer.ask("stream", address, "press-1", 200)
        assert (outcome.code, outcome.said) == ("OK", answers(200))

    def test_a_refusal_has_its_code_and_words(self, peer: Peer, address: str) -> None:
        # No sample: grpc.aio says INTERNAL where it writes behind the end, whatever the status was.
        outcome = peer.ask("stream", address, "press/1", 0)
        assert (outcome.code, outcome.said) == ("INVALID_ARGUMENT", [])
        assert outcome.words == (
            "metadata agent-id: expected 1 to 64 of A-Z a-z 0-9 . _ -, got 'press/1'"
        )

    def test_a_method_that_is_not_there_is_unimplemented(self, peer: Peer, address: str) -> None:
        assert peer.ask("nothing", address).code == "UNIMPLEMENTED"

    def test_a_message_has_a_largest_size(self, peer: Peer, address: str) -> None:
        assert peer.ask("large", address, MOST_BYTES).said == answers(1)
        refused = peer.ask("large", address, MOST_BYTES + 1)
        assert (refused.code, refused.said) == ("RESOURCE_EXHAUSTED", [])

    def test_health_is_told(self, peer: Peer, address: str) -> None:
        for service in ("-", SERVICE):
            outcome = peer.ask("health", address, service)
            assert (outcome.code, outcome.said) == ("OK", statuses("SERVING"))
        assert peer.ask("health", address, "other.Service").code == "NOT_FOUND"

    def test_a_deadline_ends_a_call(self, peer: Peer, address: str) -> None:
        outcome = peer.ask("late", address, "press-2", DEADLINE_S)
        assert (outcome.code, outcome.said) == ("DEADLINE_EXCEEDED", answers(1)), outcome.words
        assert peer.ask("stream", address, "press-2", 3).said == answers(3)

    def test_a_broker_that_stops_ends_a_stream_with_a_status(self, peer: Peer, way: Way) -> None:
        with Broker(*way.arguments) as broker, way.to(broker) as address:
            peer.begin("hold", address, "press-3")
            assert [peer.next()] == answers(1)
            broker.signal(signal.SIGTERM)
            outcome = peer.ended()
            assert broker.wait() == 0
        if not way.keeps_the_end:
            assert outcome.code in {"UNAVAILABLE", "CANCELLED"}
        elif peer.hears_the_end:
            assert (outcome.code, outcome.words) == ("UNAVAILABLE", "the broker is stopping")

    def test_a_broker_that_stops_tells_who_watches_it(self, peer: Peer, way: Way) -> None:
        with Broker(*way.arguments) as broker, way.to(broker) as address:
            peer.begin("watch", address, SERVICE)
            assert [peer.next()] == statuses("SERVING")
            broker.signal(signal.SIGTERM)
            outcome = peer.ended()
            assert broker.wait() == 0
        if peer.hears_the_end:
            assert (outcome.code, outcome.said) == ("UNAVAILABLE", statuses("NOT_SERVING"))
