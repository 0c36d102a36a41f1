"""Away from home: whether the home broker serves again, as it is asked beside the stream."""

import asyncio
import random
from collections.abc import Awaitable, Callable

# A broker that was away may go again soon, and a move costs a stream on either side.
FIRST_WAIT_S = 600.0

# After questions that failed. With the part by chance, this is an hour at the most. An agent
# that is away is served well, so nothing is urgent.
LONGEST_WAIT_S = 2400.0

# Of a wait, at random: the agents of a broker do not all come back at one moment.
LEAST_PART, MOST_PART = 0.5, 1.5


class Homeward:
    """Asks now and then, while away, and says when it is time to go home. Loop only."""

    def __init__(
        self,
        asks: Callable[[], Awaitable[bool]],
        chance: random.Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._asks = asks
        self._chance = chance
        self._sleep = sleep
        self._wait_s = FIRST_WAIT_S
        self._asking: asyncio.Task[None] | None = None
        self.is_due = False
        """Whether home serves: the present stream may end between two samples."""

    def away(self) -> None:
        """Another broker answers: ask from now on."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())

    def arrived(self) -> None:
        """Home answers."""
        self.stop()
        self._wait_s = FIRST_WAIT_S

    def failed(self) -> None:
        """Home does not serve, breaks or refuses: wait for longer."""
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def stop(self) -> None:
        """Ask no more: there is no stream to come from."""
        self.is_due = False
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    async def _ask(self) -> None:
        while not self.is_due:
            await self._sleep(self._wait_s * self._chance.uniform(LEAST_PART, MOST_PART))
            if await self._asks():
                self.is_due = True
            else:
                self.failed()
