"""Passwords that are wrong: how they are told, counted and delayed."""

from pathlib import Path

from support.clock import ManualClock
from support.console import PASSWORD, served
from support.users import HOSTS, USERS, audit

from broker.console.attempts import Attempts
from broker.console.passwords import derived, fits


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
