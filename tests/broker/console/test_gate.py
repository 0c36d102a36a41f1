"""Which requests a console answers, and what each answer carries."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from support.console import Served, served
from support.patience import PATIENCE_S


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    directory = tmp_path_factory.mktemp("gate")
    async with served(directory, hosts=["console.plant.lan", "192.168.7.7"]) as site:
        yield site


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:{port}", "127.9.9.9:8080", "localhost", "LocalHost:9", "[::1]:1"),
        *("console.plant.lan", "CONSOLE.plant.lan:8443", "console.plant.lan.", "192.168.7.7:80"),
    ],
)
async def test_a_name_of_this_machine_or_of_the_configuration_is_answered(
    site: Served, host: str
) -> None:
    reply = await site.get("/api/me", host=host.format(port=site.port))
    assert reply.status == 200


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:{port}",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
        ),
        *("192.168.7.8", "10.0.0.1:8080", "0.0.0.0", "[::2]:80", "[::1", "a@localhost.x", ":80"),  # noqa: S104
        *("localhost@evil.example", "localhost, evil.example", "evil.console.plant.lan"),
    ],
)
async def test_another_name_is_refused_whatever_is_asked(site: Served, host: str) -> None:
    for path in ("/", "/api/me", "/api/fleet", "/static/format.js", "/nothing"):
        reply = await site.get(path, host=host.format(port=site.port))
        assert reply.status == 403
        assert "[console] hosts" in reply.error


async def raw(site: Served, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    try:
        writer.write(request)
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    finally:
        writer.close()


async def test_a_request_must_name_one_host(site: Served) -> None:
    two = b"GET /api/me HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n"
    assert (await raw(site, two)).split()[1] in (b"400", b"403")
    assert (await raw(site, b"GET /api/me HTTP/1.0\r\n\r\n")).split()[1] == b"403"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/static/format.js", {}, 200),
        ("GET", "/api/me", {}, 200),
        ("GET", "/api/agent/a/download?from=0&to=1", {}, 200),
        ("GET", "/api/agent/nobody", {}, 404),
        ("GET", "/static/../app.py", {}, 404),
        ("GET", "/api/me", {"host": "evil.example"}, 403),
        ("PUT", "/api/me", {}, 405),
        ("POST", "/api/me", {"origin": "http://evil.example"}, 403),
        ("GET", "/api/alarms?most=0", {}, 400),
    ],
)
async def test_each_answer_tells_the_browser_what_it_may_do(
    site: Served, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    reply = await site.get(path, method, **headers)
    assert reply.status == status
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    kept = "no-cache" if path == "/static/format.js" else "no-store"
    assert reply.headers["Cache-Control"] == kept
    assert "Server" not in reply.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"])
async def test_other_methods_are_refused(site: Served, method: str) -> None:
    reply = await site.get("/api/fleet", method)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, POST")


async def test_head_has_no_body_and_opens_no_stream(site: Served) -> None:
    for path in ("/static/format.js", "/api/me", "/api/live", "/api/agent/a/download?from=0&to=9"):
        reply = await site.get(path, "HEAD")
        assert (reply.status, reply.body) == (200, b"")


NOTE = {"by": "shift-a", "at": 1_000.0, "text": "oil"}


@pytest.mark.parametrize(
    "origin",
    [
        *("", "null", "http://evil.example", "http://127.0.0.1:1", "http://127.0.0.1", "127.0.0.1"),
        *("http://[::1", "http://[", "https://[x]", "ftp://{host}", "//{host}", "file://{host}"),
    ],
)
async def test_a_post_of_another_page_is_refused(site: Served, origin: str) -> None:
    reply = await site.post("/api/agent/a/notes", NOTE, origin=origin.format(host=site.host))
    assert (reply.status, "this came from a page of" in reply.error) == (403, True)


async def test_a_post_needs_the_token_of_this_console(site: Served) -> None:
    for token in ("x", "\u00e9", "0" * 64):
        reply = await site.post("/api/agent/a/notes", NOTE, x_quartet_token=token)
        assert (reply.status, "load it again" in reply.error) == (403, True)
    assert (await site.post("/api/agent/a/notes", NOTE)).status == 200
    origin = f"https://{site.host.upper()}"  # whoever is between may have added TLS
    assert (await site.post("/api/agent/a/notes", NOTE, origin=origin)).status == 200


async def test_data_is_not_for_pages_of_others(site: Served) -> None:
    for path, status in (("/api/fleet", 403), ("/api/live", 403), ("/static/format.js", 200)):
        assert (await site.get(path, sec_fetch_site="cross-site")).status == status


async def test_a_body_that_is_too_large_is_refused(site: Served) -> None:
    large = b"x" * 16_385
    assert (await site.post("/api/agent/a/notes", large)).status == 413
    head = (
        f"POST /api/agent/a/notes HTTP/1.1\r\nHost: {site.host}\r\nOrigin: http://{site.host}\r\n"
        "Connection: close\r\n"
    )
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(large), large)
    said = await raw(site, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks)
    assert said.split()[1] == b"413"
    for length in ("16385", "99999999999999999999"):
        said = await raw(site, f"{head}Content-Length: {length}\r\n\r\n".encode())
        assert said.split()[1] == b"413"


async def test_a_header_without_an_end_is_refused(site: Served) -> None:
    said = await raw(site, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)
    assert said.split()[1] == b"400"


async def test_files_beside_the_static_ones_cannot_be_had(site: Served) -> None:
    for file in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "", ".", "a.js%00", "nothing.js"):
        reply = await site.get(f"/static/{file}")
        assert reply.status == 404, file


async def test_a_file_is_sent_once_and_asked_for_each_time(site: Served) -> None:
    first = await site.get("/static/format.js")
    assert first.headers["Content-Type"] == "text/javascript; charset=utf-8"
    again = await site.get("/static/format.js", if_none_match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    other = await site.get("/static/format.js", if_none_match='"other"')
    assert other.body == first.body


@pytest.mark.parametrize(
    "path", ["/", "/agent/a", "/agent/nobody", "/compare", "/alarms", "/signin"]
)
async def test_each_page_is_there_and_brings_no_script_of_its_own(site: Served, path: str) -> None:
    reply = await site.get(path)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    for file in re.findall(rb"(?:src|href)=\"(/static/[^\"]+)\"", reply.body):
        assert (await site.get(file.decode())).status == 200
    assert not re.search(rb"<style|style=|<script(?![^>]* src=)|\son[a-z]+=", reply.body)
