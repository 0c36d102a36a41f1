"""Pointer, wheel, keys and fingers upon the time axis, and the way back from each."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, Page, Request, expect
from support.site import Console
from support.window import PATIENCE_MS, window

from bench.history import Plan, feed

_HOUR_MS = 3_600_000
_PLACE = """async host => {
    const { LEFT, RIGHT } = await import("/static/axis.js");
    const { left, top, width, height } = host.getBoundingClientRect();
    return [left + LEFT, width - LEFT - RIGHT, top + height / 3];
}"""
# A pixel or two, of a thousand.
_NEAR = 0.01


@dataclass(frozen=True, slots=True)
class Axis:
    """Where the charts lie on the screen, and what they show at first."""

    page: Page
    left: float
    width: float
    y: float
    begin: float

    async def point(self, share: float) -> None:
        await self.page.mouse.move(self.left + share * self.width, self.y, steps=4)

    async def drag(self, begin: float, end: float) -> None:
        await self.point(begin)
        await self.page.mouse.down()
        await self.point(end)
        await self.page.mouse.up()

    async def shows(self, begin: float, end: float) -> None:
        """Return when the URL names this range, in shares of the first one."""
        await self.page.wait_for_function(
            """([from, to, near]) => {
                const asked = new URLSearchParams(location.search);
                const differs = (name, to) => Math.abs(Number(asked.get(name)) - to) > near;
                return asked.has("from") && !differs("from", from) && !differs("to", to);
            }""",
            arg=[
                self.begin + begin * _HOUR_MS,
                self.begin + end * _HOUR_MS,
                _NEAR * max(0.2, end - begin) * _HOUR_MS,
            ],
        )


async def _pan_by_dragging(axis: Axis) -> None:
    await axis.page.keyboard.down("Shift")
    await axis.drag(0.3, 0.5)
    await axis.page.keyboard.up("Shift")


async def _pan_with_a_rest(axis: Axis) -> None:
    await axis.page.keyboard.down("Shift")
    await axis.point(0.3)
    await axis.page.mouse.down()
    await axis.point(0.4)
    await axis.shows(-0.1, 0.9)
    # The hand rests for longer than any gesture's end waits.
    await axis.page.evaluate("new Promise(go => setTimeout(go, 1000))")
    await axis.point(0.5)
    await axis.page.mouse.up()
    await axis.page.keyboard.up("Shift")


async def _wheel_in(axis: Axis) -> None:
    await axis.point(0.25)
    await axis.page.mouse.wheel(0, -315)


async def _wheel_sideways(axis: Axis) -> None:
    await axis.point(0.5)
    await axis.page.mouse.wheel(round(0.1 * axis.width), 0)


async def _double_click(axis: Axis) -> None:
    await axis.page.mouse.dblclick(axis.left + 0.5 * axis.width, axis.y)


# exp(315 * 0.0022) is 2: the wheel halves the range, and what is at the pointer stays there.
_GESTURES: dict[str, tuple[Callable[[Axis], Awaitable[None]], float, float]] = {
    "a drag zooms to it": (lambda axis: axis.drag(0.25, 0.5), 0.25, 0.5),
    "a drag to the left, too": (lambda axis: axis.drag(0.5, 0.25), 0.25, 0.5),
    "a drag with shift pans": (_pan_by_dragging, -0.2, 0.8),
    "a hand may rest in a drag": (_pan_with_a_rest, -0.2, 0.8),
    "the wheel zooms at the pointer": (_wheel_in, 0.125, 0.625),
    "the wheel pans sideways": (_wheel_sideways, 0.1, 1.1),
    "a double click zooms out": (_double_click, -1.5, 2.5),
    "an arrow pans": (lambda axis: axis.page.keyboard.press("ArrowLeft"), -0.2, 0.8),
    "plus zooms in": (lambda axis: axis.page.keyboard.press("+"), 0.1875, 0.8125),
    "minus zooms out": (lambda axis: axis.page.keyboard.press("-"), -0.3, 1.3),
}


@pytest.fixture(scope="module")
async def past(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Console, float]]:
    """A console over some hours of records, and when they begin."""
    store = tmp_path_factory.mktemp("past") / "broker.db"
    end_ns = time.time_ns()
    await feed(store, Plan(days=0.25, rate_hz=1.0, others=0), end_ns)
    with Console(store) as console:
        yield console, end_ns / 1e6 - 6 * _HOUR_MS


async def _shown(page: Page, begin: float) -> Axis:
    host = page.locator("#plots")
    await expect(page.locator("figure canvas").first).to_have_attribute(
        "aria-label", re.compile("minimum"), timeout=PATIENCE_MS
    )
    left, width, y = await host.evaluate(_PLACE)
    return Axis(page, left, width, y, begin)


@pytest.mark.parametrize("gesture", _GESTURES)
async def test_a_gesture_changes_the_range_and_escape_leads_back(
    browser: Browser, past: tuple[Console, float], gesture: str
) -> None:
    console, begin = past
    act, first, last = _GESTURES[gesture]
    since = int(begin + 2 * _HOUR_MS)
    async with window(browser, console.url) as opened:
        page = await opened.open(f"/agent/press-1?from={since}&to={since + _HOUR_MS}")
        axis = await _shown(page, since)
        url = page.url
        await act(axis)
        await axis.shows(first, last)
        await page.mouse.move(0, 0)
        await page.keyboard.press("Escape")
        await expect(page).to_have_url(url)


async def test_after_a_drag_no_cursor_stands_beside_the_pointer(
    browser: Browser, past: tuple[Console, float]
) -> None:
    console, begin = past
    since = int(begin + 2 * _HOUR_MS)
    async with window(browser, console.url) as opened:
        page = await opened.open(f"/agent/press-1?from={since}&to={since + _HOUR_MS}")
        axis = await _shown(page, since)
        cursor = page.locator("#plots .cursor")
        await axis.point(0.3)
        await expect(cursor).to_be_visible()
        await axis.drag(0.25, 0.5)
        await axis.shows(0.25, 0.5)
        await expect(cursor).to_be_hidden()


async def test_keys_choose_ranges_and_lead_to_both_ends(
    browser: Browser, past: tuple[Console, float]
) -> None:
    console, begin = past
    async with window(browser, console.url) as opened:
        page = await opened.open("/agent/press-1")
        for key, name in ("2", "1h"), ("3", "day"), ("4", "week"), ("5", "all"), ("1", "2min"):
            await page.keyboard.press(key)
            await expect(page).to_have_url(re.compile(rf"\?range={name}$"))
        await page.keyboard.press("2")
        axis = await _shown(page, begin)
        await page.keyboard.press("Home")
        await axis.shows(0, 1)
        await expect(page.get_by_role("button", name="Back to now")).to_be_visible()
        await page.keyboard.press("End")
        await expect(page).to_have_url(re.compile(r"\?(last=3600|range=1h)"))
        await expect(page.get_by_text("following now")).to_be_visible()


async def test_a_long_drag_asks_for_one_history_at_a_time(
    browser: Browser, past: tuple[Console, float]
) -> None:
    console, begin = past
    since = int(begin + 2 * _HOUR_MS)
    open_now: set[Request] = set()
    most = 0

    def begun(request: Request) -> None:
        nonlocal most
        if "/history" in request.url:
            open_now.add(request)
            most = max(most, len(open_now))

    def done(request: Request) -> None:
        open_now.discard(request)

    async with window(browser, console.url) as opened:
        page = await opened.open(f"/agent/press-1?from={since}&to={since + _HOUR_MS}")
        axis = await _shown(page, since)
        page.on("request", begun)
        page.on("requestfinished", done)
        await page.keyboard.down("Shift")
        for _ in range(5):
            await axis.drag(0.3, 0.4)
        await page.keyboard.up("Shift")
        await axis.shows(-0.5, 0.5)
        await page.wait_for_function("() => !document.querySelector('#plots.is-busy')")
        assert most == 1


async def test_fingers_pan_and_pinch(browser: Browser, past: tuple[Console, float]) -> None:
    console, begin = past
    since = int(begin + 2 * _HOUR_MS)
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    async with window(browser, console.url, **phone) as opened:
        page = await opened.open(f"/agent/press-1?from={since}&to={since + _HOUR_MS}")
        axis = await _shown(page, since)
        session = await opened.context.new_cdp_session(page)

        async def touch(kind: str, *shares: float) -> None:
            points = [
                {"x": axis.left + share * axis.width, "y": axis.y, "id": i}
                for i, share in enumerate(shares)
            ]
            await session.send(
                "Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points}
            )

        await touch("Start", 0.3)
        for step in range(1, 11):
            await touch("Move", 0.3 + step * 0.02)
        await touch("End")
        await axis.shows(-0.2, 0.8)
        await touch("Start", 0.375, 0.625)
        for step in range(1, 11):
            await touch("Move", 0.375 - step * 0.0125, 0.625 + step * 0.0125)
        await touch("End")
        await axis.shows(0.05, 0.55)


async def test_a_fixed_range_stays_when_the_sensors_get_their_names(
    browser: Browser, past: tuple[Console, float]
) -> None:
    console, begin = past
    since = int(begin + 2 * _HOUR_MS)
    async with window(browser, console.url) as opened:
        page = await opened.open(f"/compare?agents=press-1&from={since}&to={since + _HOUR_MS}")
        named = page.locator("figure", has_text="drive end").locator("canvas")
        await expect(named).to_have_attribute("aria-label", re.compile("minimum"))


@pytest.mark.parametrize("path", ["/agent/press-1?", "/compare?agents=press-1&"])
async def test_a_fixed_range_that_could_not_be_read_is_asked_for_again(
    browser: Browser, past: tuple[Console, float], path: str
) -> None:
    console, begin = past
    since = int(begin + 2 * _HOUR_MS)
    async with window(browser, console.url) as opened:
        await opened.context.route("**/history?*", lambda route: route.abort(), times=1)
        page = await opened.open(f"{path}from={since}&to={since + _HOUR_MS}")
        await _shown(page, since)
        opened.forgive("ERR_FAILED")


async def test_the_way_back_from_an_alarm_leads_to_where_it_was_chosen(
    browser: Browser, past: tuple[Console, float]
) -> None:
    console, begin = past
    async with window(browser, console.url) as opened:
        page = await opened.open("/alarms")
        await page.goto(f"{console.url}agent/press-1?alarm={int(begin + _HOUR_MS)}000000")
        await page.wait_for_url(re.compile("from="))
        await page.go_back()
        await expect(page).to_have_url(re.compile("/alarms$"))


async def test_an_address_that_names_no_machine_says_so(
    browser: Browser, past: tuple[Console, float]
) -> None:
    async with window(browser, past[0].url) as opened:
        page = await opened.open("/agent/%E0%A4%A")
        await expect(page.locator(".scope")).to_be_hidden()
        await expect(page.locator("#reason")).not_to_be_empty()
        opened.forgive("404")


async def test_a_chosen_sensor_keeps_the_focus(
    browser: Browser, past: tuple[Console, float]
) -> None:
    async with window(browser, past[0].url) as opened:
        page = await opened.open("/compare?agents=press-1&range=all")
        await page.get_by_role("button", name="2 fan end").click()
        chosen = page.locator("#channels [aria-pressed=true]")
        await expect(chosen).to_contain_text("fan end")
        await expect(chosen).to_be_focused()
        await page.get_by_role("button", name="Remove press-1").click()
        await expect(page.locator("#picker input").first).to_be_focused()
