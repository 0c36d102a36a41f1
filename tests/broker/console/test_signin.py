"""Users of a console: signing in, what each may do, and the end of it."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from support.certificates import Ca
from support.clock import ManualClock
from support.console import PASSWORD, Served, cookie_of, served
from support.patience import PATIENCE_S

from broker.console.attempts import Attempts
from broker.console.config import ConsoleSettings, PageSettings, PageTlsSettings
from broker.console.passwords import derived, fits
from broker.recorder.reader import RecordedSample
from quartet.errors import SettingsError, StoreError

USERS = {"shift-a": "viewer", "maintenance": "operator"}
HOSTS = ["console.plant.lan"]
NOTE = {"at": 1_000.0, "text": "oil"}


async def test_a_user_sees_nothing_before_signing_in(tmp_path: Path) -> None:
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:
        me = (await site.get("/api/me")).json
        assert (me["needs_sign_in"], me["signed_in"], me["user"]) == (True, False, None)
        assert (me["store"], me["token"]) == ("", "")
        span = "?from=0&to=9"
        for path in (
            *("fleet", "live", "agent/a", f"agent/a/history{span}", f"agent/a/numbers{span}"),
            *(f"agent/a/download{span}", "alarms", "alarms.csv", "activity"),
        ):
            assert (await site.get(f"/api/{path}")).status == 401, path
        for path in ("alarms/5/acknowledge", "notes", "rebase"):
            assert (await site.post(f"/api/agent/a/{path}", NOTE)).status == 401, path
        assert (await site.get("/static/format.js")).status == 200


async def test_a_viewer_looks_and_an_operator_acts(tmp_path: Path) -> None:
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:
        for name, role in USERS.items():
            reply = await site.sign_in(name)
            assert reply.status == 200
            me = (await site.get("/api/me", cookie=reply.cookie)).json
            assert (me["user"], me["role"], me["signed_in"]) == (name, role, True)
            assert (await site.get("/api/fleet", cookie=reply.cookie)).status == 200
            for path, body in (("notes", NOTE), ("rebase", {})):
                done = await site.post(f"/api/agent/a/{path}", body, cookie=reply.cookie)
                assert done.status == (200 if role == "operator" else 403)
        acts = await audit(site)
        assert [act[:2] for act in acts] == [
            ("shift-a", "signed in"),
            ("maintenance", "signed in"),
            ("maintenance", "noted"),
            ("maintenance", "reset the predictor"),
        ]


async def test_an_operator_reads_who_did_what_newest_first_and_page_by_page(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:
        cookies = {name: (await site.sign_in(name)).cookie for name in USERS}
        await site.post("/api/agent/a/notes", NOTE, cookie=cookies["maintenance"])
        await site.post("/api/agent/a/alarms/7/acknowledge", {}, cookie=cookies["maintenance"])
        refused = await site.get("/api/activity", cookie=cookies["shift-a"])
        assert (refused.status, "shift-a" in refused.error) == (403, True)
        told, before = [], ""
        while True:
            page = await site.get(f"/api/activity?most=2{before}", cookie=cookies["maintenance"])
            told += page.json["acts"]
            if not page.json["more"]:
                break
            before = f"&before={told[-1]['act']}"
        assert [(each["by"], each["verb"], each["agent"], each["alarm"]) for each in told] == [
            ("maintenance", "failed: acknowledged", "a", "7"),
            ("maintenance", "acknowledged", "a", "7"),
            ("maintenance", "noted", "a", ""),
            ("maintenance", "signed in", "", ""),
            ("shift-a", "signed in", "", ""),
        ]
        assert told[2]["detail"] == NOTE["text"]


async def audit(site: Served) -> list[tuple[str, str, str, str]]:
    """Who did what to what, from where."""
    return await site.console.book.database.read(
        lambda rows: rows.execute(
            "SELECT name, verb, subject, address FROM audit ORDER BY act"
        ).fetchall()
    )


async def test_nothing_is_done_that_cannot_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as site:
        while await site.console.book.feed(site.console.reader):
            pass
        alarm = (await site.get("/api/alarms")).json["alarms"][0]["id"]
        acts = {"notes": NOTE, "rebase": {}, f"alarms/{alarm}/acknowledge": {}}

        async def full(*_: object) -> None:
            raise StoreError("console.db: disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(site.console.book, "record", full)
            for path, body in acts.items():
                reply = await site.post(f"/api/agent/a/{path}", {**body, "by": "shift-a"})
                assert reply.status == 503
        assert not (await site.get("/api/agent/a/history?from=0&to=4000")).json["notes"]
        assert not (await site.get("/api/agent/a")).json["commands"]
        assert not (await site.get("/api/alarms?agent=a")).json["alarms"][0]["acknowledged"]
        assert await audit(site) == []
        await site.post("/api/agent/a/alarms/1/acknowledge", {"by": "shift-a"})
        assert [act[1] for act in await audit(site)] == ["acknowledged", "failed: acknowledged"]


async def test_the_name_in_a_body_counts_only_where_nobody_signs_in(tmp_path: Path) -> None:
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:
        cookie = (await site.sign_in("maintenance")).cookie
        await site.post("/api/agent/a/notes", {**NOTE, "by": "shift-a"}, cookie=cookie)
        assert (await audit(site))[-1][0] == "maintenance"
    async with served(tmp_path, hosts=[]) as site:
        assert not (await site.get("/api/me")).json["needs_sign_in"]
        for name in ("", " ", "x" * 65, "shift\x00a", "\u202eb-tfihs"):
            assert (await site.post("/api/agent/a/notes", {**NOTE, "by": name})).status == 400
        assert (await site.post("/api/agent/a/notes", {**NOTE, "by": "shift-a"})).status == 200
        assert (await audit(site))[-1] == ("shift-a (not signed in)", "noted", "a", "127.0.0.1")


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


async def test_a_wrong_name_and_a_wrong_password_look_the_same(tmp_path: Path) -> None:
    async with served(tmp_path, users=USERS, hosts=HOSTS) as site:
        replies = [
            await site.sign_in(name, password)
            for name, password in (
                *(("shift-a", "wrong password"), ("nobody", PASSWORD), ("", "")),
                ("shift-a", "x" * 10_000),
            )
        ]
        assert {(reply.status, reply.body) for reply in replies} == {
            (401, b'{"error":"name or password is wrong"}')
        }
        assert not any(reply.headers["Set-Cookie"] for reply in replies)
        assert [act[:2] for act in await audit(site)] == [
            *(("shift-a", "failed to sign in"), ("nobody", "failed to sign in")),
            *(("", "failed to sign in"), ("shift-a", "failed to sign in")),
        ]


async def test_after_five_wrong_passwords_the_right_one_must_wait(tmp_path: Path) -> None:
    clock = ManualClock()
    async with served(tmp_path, users=USERS, hosts=HOSTS, clock=clock) as site:
        for _ in range(5):
            assert (await site.sign_in("shift-a", "wrong password")).status == 401
        reply = await site.sign_in("shift-a")
        assert (reply.status, reply.headers["Retry-After"]) == (429, "3")
        assert (await site.sign_in("maintenance")).status == 200  # perhaps by the same proxy
        clock.advance(2.5)
        assert (await site.sign_in("shift-a")).status == 200
        assert (await site.sign_in("maintenance")).status == 200


def test_the_delay_grows_up_to_its_bound_and_is_forgotten() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    delays = []
    for _ in range(20):
        clock.advance(attempts.wait_s("shift-a", "10.0.0.1"))
        attempts.begin("shift-a", "10.0.0.1")
        delays.append(attempts.wait_s("shift-a", "10.0.0.1"))
    assert delays[:7] == [0, 0, 0, 0, 2, 4, 8]
    assert delays[-1] == 300
    assert attempts.wait_s("SHIFT-A", "10.0.0.1") == 300
    assert attempts.wait_s("SHIFT-A", "10.0.0.2") == 0
    assert attempts.wait_s("other", "10.0.0.1") == 2
    assert attempts.wait_s("other", "10.0.0.2") == 0
    clock.advance(3601)
    attempts.begin("shift-a", "10.0.0.1")
    assert attempts.wait_s("shift-a", "10.0.0.1") == 0


def test_tries_from_elsewhere_keep_nobody_out_for_long() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    for number in range(49):
        attempts.begin("shift-a", f"10.0.0.{number}")
    assert attempts.wait_s("shift-a", "10.0.1.1") == 0
    for number in range(200):
        attempts.begin("shift-a", f"10.0.2.{number}")
    assert attempts.wait_s("shift-a", "10.0.1.1") == 10
    attempts.succeeded("shift-a", "10.0.1.1")
    assert attempts.wait_s("shift-a", "10.0.1.1") == 0


def test_tries_at_the_same_time_are_all_counted() -> None:
    attempts = Attempts(ManualClock())
    for _ in range(5):
        assert attempts.wait_s("shift-a", "10.0.0.1") == 0
        attempts.begin("shift-a", "10.0.0.1")
    assert attempts.wait_s("shift-a", "10.0.0.1") > 0


def test_one_host_with_many_addresses_or_names_fills_no_memory() -> None:
    attempts = Attempts(ManualClock())
    for number in range(20):
        attempts.begin(f"name {number}", f"2001:db8::{number:x}")
    assert attempts.wait_s("another", "2001:db8::ffff") > 0
    assert attempts.wait_s("another", "2001:db9::1") == 0
    for number in range(3000):
        attempts.begin(f"name {number}", f"10.0.{number // 256}.{number % 256}")
    assert len(attempts) <= 3000


def test_a_password_fits_itself_alone() -> None:
    kept = derived(PASSWORD)
    assert fits(PASSWORD, kept)
    assert derived(PASSWORD) != kept
    assert not fits(PASSWORD + " ", kept)
    assert not fits("", kept)
    assert not fits(PASSWORD, None)


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


@pytest.mark.parametrize(
    ("listen", "hosts", "users", "insecure", "needs"),
    [
        ("127.0.0.1:0", (), USERS, False, False),
        ("[::1]:0", (), {}, False, False),
        ("127.0.0.1:0", HOSTS, {}, False, False),
        ("127.0.0.1:0", HOSTS, USERS, False, True),
        ("0.0.0.0:0", HOSTS, USERS, False, True),
        ("0.0.0.0:0", HOSTS, USERS, True, True),
        ("0.0.0.0:0", HOSTS, {}, True, False),
        ("0.0.0.0:0", HOSTS, {}, False, None),
    ],
)
async def test_who_must_sign_in(
    tmp_path: Path,
    listen: str,
    hosts: tuple[str, ...],
    users: dict[str, str],
    *,
    insecure: bool,
    needs: bool | None,
) -> None:
    page = PageSettings(listen, tuple(hosts), insecure=insecure)
    settings = ConsoleSettings(console=page)
    if needs is None:
        with pytest.raises(SettingsError, match="there are no users: add one with"):
            async with served(tmp_path, settings=settings):
                pass
        return
    async with served(tmp_path, settings=settings, users=users) as site:
        assert (await site.get("/api/me")).json["needs_sign_in"] is needs
        assert (await site.get("/api/fleet")).status == (401 if needs else 200)


async def test_users_that_are_added_later_count_at_once(tmp_path: Path) -> None:
    clock = ManualClock()
    async with served(tmp_path, hosts=HOSTS, clock=clock) as site:
        assert (await site.get("/api/fleet")).status == 200
        stream = await site.stream()
        kept = derived(PASSWORD)
        await site.people.put("shift-a", "viewer", kept.salt, kept.key)
        clock.advance(3)
        assert (await site.get("/api/fleet")).status == 401
        async with asyncio.timeout(PATIENCE_S):
            await stream.end()


@pytest.mark.parametrize("how", ["deleted", "damaged"])
@pytest.mark.parametrize("insecure", [False, True])
async def test_a_console_that_loses_its_users_does_not_let_everybody_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str, *, insecure: bool
) -> None:
    page = PageSettings("0.0.0.0:0" if insecure else "127.0.0.1:0", (*HOSTS,), insecure=insecure)
    settings = ConsoleSettings(console=page)
    clock = ManualClock()
    async with served(tmp_path, users=USERS, settings=settings, clock=clock) as site:
        cookie = (await site.sign_in("maintenance")).cookie
        await asyncio.to_thread(lose, tmp_path, how)
        clock.advance(3)
        assert (await site.get("/api/fleet")).status in (401, 503)  # 503: damage is found
        assert (await site.get("/api/fleet", cookie=cookie)).status == 401
        assert (await site.get("/api/me")).json["needs_sign_in"]
    async with served(tmp_path, settings=settings) as site:
        assert (await site.get("/api/fleet")).status == 401
        assert "delete " + str(tmp_path / "console.sign-in") in caplog.text
    (tmp_path / "console.sign-in").unlink()
    async with served(tmp_path, settings=settings) as site:
        assert (await site.get("/api/fleet")).status == 200


def lose(directory: Path, how: str) -> None:
    """Delete console.db, or put something unreadable in its place, while it is in use."""
    path = directory / "console.db"
    for file in ("-wal", "-shm"):
        path.with_name(path.name + file).unlink(missing_ok=True)
    if how == "deleted":
        path.unlink()
    else:
        other = directory / "other.db"
        other.write_bytes(b"no database" * 10_000)
        other.replace(path)
