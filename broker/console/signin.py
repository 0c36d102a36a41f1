"""Who asks: signing in, the session in a cookie, and what a request may do."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from broker.console.answers import RefusedError
from broker.console.attempts import Attempts
from broker.console.book.people import People
from broker.console.mark import Mark
from broker.console.passwords import MOST, Derived, fits
from quartet.clock import Clock

COOKIE = "quartet_console"
"""Name of the cookie that holds a session."""

SESSION_S = 12 * 3600
"""How long a session lasts: a shift."""

_S_NS = 10**9

# How old may be what is known of a session, and that there are no users.
_FRESH_S = 2.0

_MOST_KNOWN = 1000

# Each takes 32 MB.
_MOST_TRIES = 2


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in."""

    name: str
    role: str
    expires_at_ns: int


@dataclass(frozen=True, slots=True)
class Who:
    """Who makes a request."""

    name: str | None
    """None: nobody needs to sign in."""
    role: str
    token: str
    """What a POST of this person's page must show."""
    secret: str = ""
    """What the cookie says."""

    @property
    def may_act(self) -> bool:
        """Whether they may acknowledge, note and reset."""
        return self.role == "operator"


class SignIn:
    """Signs people in and out, and knows them by their cookie. Loop only."""

    def __init__(
        self,
        people: People,
        *,
        is_required: bool,
        mark: Mark | None,
        is_secure: bool,
        clock: Clock = time,
    ) -> None:
        """`mark`: sign-in is required once there are users, and this is set from then on.

        `is_secure`: the cookie needs TLS.
        """
        self._people = people
        self._is_required = is_required or bool(mark and mark.is_set())
        self._mark = mark
        self._is_secure = is_secure
        self._clock = clock
        self._attempts = Attempts(clock)
        self._tries = asyncio.Semaphore(_MOST_TRIES)
        self._anyone = Who(None, "operator", secrets.token_hex(32))
        self._known: dict[str, tuple[float, Session | None]] = {}
        self._counted_s: float | None = None

    async def is_needed(self) -> bool:
        """Whether who has not signed in sees nothing."""
        if self._is_required or self._mark is None:
            return self._is_required
        now_s = self._clock.monotonic()
        if self._counted_s is None or now_s - self._counted_s > _FRESH_S:
            if await self._people.count():
                self._mark.set()
                self._is_required = True  # also where console.db is lost, with its users
            self._counted_s = now_s
        return self._is_required

    async def who(self, cookies: Mapping[str, str]) -> Who | None:
        """Who has this cookie; None: they must sign in."""
        if not await self.is_needed():
            return self._anyone
        secret = cookies.get(COOKIE, "")
        session = await self._session(secret) if secret else None
        if session is None:
            return None
        return Who(session.name, session.role, _post_token(secret), secret)

    async def still_holds(self, who: Who) -> bool:
        """Whether somebody may go on watching what they began to watch."""
        if not who.secret:
            return not await self.is_needed()
        return await self._session(who.secret) is not None

    async def sign_in(self, name: str, password: str, address: str) -> str:
        """The cookie of a new session. RefusedError for a wrong password, or one too many."""
        wait_s = self._attempts.wait_s(name, address)
        if wait_s > 0:
            seconds = int(wait_s) + 1
            raise RefusedError(
                429,
                f"too many wrong passwords: try again in {seconds} s",
                {"Retry-After": str(seconds)},
            )
        self._attempts.begin(name, address)
        found = await self._people.password(name)
        kept = Derived(*found) if found else None
        async with self._tries:
            is_right = len(password) <= MOST and await asyncio.to_thread(fits, password, kept)
        if not is_right:
            raise RefusedError(401, "name or password is wrong")
        self._attempts.succeeded(name, address)
        secret = secrets.token_urlsafe(32)
        expires_at_ns = self._clock.time_ns() + SESSION_S * _S_NS
        await self._people.begin(_hash(secret), name, expires_at_ns, address)
        return self._cookie(secret, SESSION_S)

    async def sign_out(self, who: Who) -> str:
        """The cookie that replaces the one of a session that is over."""
        await self._people.end(_hash(who.secret))
        self._known.pop(who.secret, None)
        return self._cookie("", 0)

    async def _session(self, secret: str) -> Session | None:
        now_s = self._clock.monotonic()
        known = self._known.get(secret)
        if known is None or now_s - known[0] > _FRESH_S:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = await self._people.session(_hash(secret))
            known = self._known[secret] = now_s, Session(*found) if found else None
        session = known[1]
        return session if session and session.expires_at_ns > self._clock.time_ns() else None

    def _cookie(self, secret: str, age_s: int) -> str:
        secure = "; Secure" if self._is_secure else ""
        return f"{COOKIE}={secret}; Path=/; Max-Age={age_s}; HttpOnly{secure}; SameSite=Strict"


def _hash(secret: str) -> bytes:
    """What is kept of a cookie: whoever reads the file cannot sign in by it."""
    return hashlib.sha256(secret.encode()).digest()


def _post_token(secret: str) -> str:
    """By which a page shows that it was told so by the console: others cannot read the cookie."""
    return hashlib.sha256(b"post:" + secret.encode()).hexdigest()
