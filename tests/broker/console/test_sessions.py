"""Sessions of users: their cookies, how long they last, and what ends them."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from support.certificates import Ca
from support.clock import ManualClock
from support.console import PASSWORD, cookie_of, served
from support.users import HOSTS, NOTE, USERS, audit

from broker.console.config import ConsoleSettings, PageSettings, PageTlsSettings
from broker.console.passwords import derived
from broker.recorder.reader import RecordedSample


async def test_the_token_of_another_session_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:
        one, other = [(await site.sign_in("maintenance")).cookie for _ in range(2)]
        token = (await site.get("/api/me", cookie=one)).json["token"]
        wrong = await site.post("/api/agent/a/notes", NOTE, cookie=other, x_quartet_token=token)
        right = await site.post("/api/agent/a/notes", NOTE, cookie=one, x_quartet_token=token)
        assert (wrong.status, right.status) == (403, 200)
        assert (await site.post("/api/signout", cookie=other, x_quartet_token=token)).status == 403


async def test_the_cookie_is_for_this_console_alone(tmp_path: Path) -> None:
    ca = Ca(tmp_path)
    files = ca.issue("console", ["127.0.0.1"])
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(files.certificate, files.key)
    browser = ssl.create_default_context(cafile=str(ca.path))
    tls = PageTlsSettings(str(files.certificate), str(files.key))
    secure = ConsoleSettings(console=PageSettings(hosts=tuple(HOSTS)), tls=tls)
    async with served(tmp_path, users=USERS, settings=secure, tls=(own, browser)) as site:
        parts = (await site.sign_in("shift-a")).headers["Set-Cookie"].split("; ")
        assert set(parts[1:]) == {
            *("Path=/", "Max-Age=43200", "HttpOnly", "Secure", "SameSite=Strict")
        }
        plain = await site.post("/api/signin", {}, origin=f"http://{site.host}")
        assert (plain.status, "this came from a page of" in plain.error) == (403, True)
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:
        parts = (await site.sign_in("shift-a")).headers["Set-Cookie"].split("; ")
        assert set(parts[1:]) == {"Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"}


def all_bytes(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.glob("console.db*"))


async def test_neither_password_nor_cookie_is_kept_or_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "a wrong password here"
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:
        secret = cookie_of(await site.sign_in("shift-a"))
        assert (await site.sign_in("shift-a", wrong)).status == 401
        token = (await site.get("/api/me", cookie=f"quartet_console={secret}")).json["token"]
    kept = await asyncio.to_thread(all_bytes, tmp_path)
    assert b"shift-a" in kept
    for text in (PASSWORD, wrong, secret, token):
        assert text.encode() not in kept
        assert text not in caplog.text


async def test_a_session_lasts_for_a_shift(tmp_path: Path) -> None:
    clock = ManualClock()
    async with served(tmp_path, users=USERS, hosts=HOSTS, clock=clock) as site:
        cookie = (await site.sign_in("shift-a")).cookie
        clock.advance(12 * 3600 - 1)
        assert (await site.get("/api/fleet", cookie=cookie)).status == 200
        clock.advance(2)
        assert (await site.get("/api/fleet", cookie=cookie)).status == 401


async def test_whoever_signs_out_is_out(tmp_path: Path) -> None:
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:
        cookie, other = [(await site.sign_in("shift-a")).cookie for _ in range(2)]
        assert (await site.post("/api/signout", cookie=cookie)).status == 200
        assert (await site.get("/api/fleet", cookie=cookie)).status == 401
        assert (await site.get("/api/fleet", cookie=other)).status == 200
        assert (await audit(site))[-1][:2] == ("shift-a", "signed out")


@pytest.mark.parametrize("how", ["revoke", "remove", "new password"])
async def test_a_revoked_user_sees_nothing_more_also_on_an_open_page(
    tmp_path: Path, how: str
) -> None:
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:
        cookie = (await site.sign_in("shift-a")).cookie
        stream = await site.stream(cookie=cookie)
        staying = await site.stream(cookie=(await site.sign_in("maintenance")).cookie)
        assert (await stream.tick())["full"]
        if how == "revoke":
            assert await site.people.end_all("shift-a") == 1
        elif how == "remove":
            assert await site.people.remove("shift-a")
        else:
            kept = derived("another password")
            await site.people.put("shift-a", "viewer", kept.salt, kept.key)
        await stream.end()
        assert (await site.get("/api/fleet", cookie=cookie)).status == 401
        assert (await staying.tick())["full"]


async def test_a_download_ends_unfinished_where_its_user_signs_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:

        async def endless(*_: object) -> AsyncIterator[Sequence[RecordedSample]]:
            while True:
                yield ()
                await asyncio.sleep(0.01)

        monkeypatch.setattr(type(site.console.reader), "samples", endless)
        cookie = (await site.sign_in("shift-a")).cookie
        download = await site.stream("/api/agent/a/download?from=0&to=9", cookie=cookie)
        assert (await site.post("/api/signout", cookie=cookie)).status == 200
        assert not (await download.end()).endswith(b"0\r\n\r\n")
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_a_role_that_changes_counts_at_the_next_sign_in(tmp_path: Path) -> None:
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:
        await site.sign_in("shift-a")
        kept = derived(PASSWORD)
        assert not await site.people.put("shift-a", "operator", kept.salt, kept.key)
        cookie = (await site.sign_in("shift-a")).cookie
        assert (await site.post("/api/agent/a/notes", NOTE, cookie=cookie)).status == 200
        assert list(await site.people.users()) == [
            ("maintenance", "operator", 0),
            ("shift-a", "operator", 1),
        ]
