"""Users of a console: who must sign in, and what each may do."""

import asyncio
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.console import PASSWORD, served
from support.patience import PATIENCE_S
from support.users import HOSTS, NOTE, USERS, audit

from broker.console.config import ConsoleSettings, PageSettings
from broker.console.passwords import derived
from quartet.errors import SettingsError, StoreError


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
