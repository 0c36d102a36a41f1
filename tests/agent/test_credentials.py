"""Channels by TLS, and when the files behind the latest one are others."""

from pathlib import Path

from support.certificates import Ca
from support.clock import ManualClock

from agent.config import TlsSettings
from agent.credentials.tls import Tls


async def test_a_question_beside_the_stream_leaves_its_channel_stale(tmp_path: Path) -> None:
    clock = ManualClock(wall_s=1_900_000_000.0)
    path = Ca(tmp_path, "first").path
    tls = Tls(TlsSettings(str(path)), clock)
    async with tls.open_channel("127.0.0.1:1", []):
        path.write_bytes(Ca(tmp_path, "second").path.read_bytes())
        clock.advance(60.0)
        assert tls.is_stale()
        async with tls.open_beside("127.0.0.1:1", []):
            assert tls.is_stale()
    async with tls.open_channel("127.0.0.1:1", []):
        assert not tls.is_stale()
