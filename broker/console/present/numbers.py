"""Asks a process of its own for the numbers behind a predictor's answers."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Any

from broker.config import PredictorSettings, Store
from broker.console.present.rounding import figure, ms
from broker.recorder.reader import Span

# From the question to the answer, with the start of the process: 60,000 rows take 2 s, and a Pi
# is some ten times slower.
_MOST_S = 20.0
# A process that nobody asks goes: it holds the memory of a predictor.
_IDLE_S = 60.0
# Of one line: charts of 4,000 points.
_MOST_BYTES = 32 << 20


class Numbers:
    """One process, which is asked one question at a time. Loop only; close() at the end."""

    def __init__(
        self, store: Store, predictor: PredictorSettings, *, most_s: float = _MOST_S
    ) -> None:
        self._store = store
        self._predictor = predictor
        self._most_s = most_s
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def of(self, agent_id: str, span: Span, most: int) -> dict[str, Any]:
        """The charts of a span, of `most` points each, and a remark about what they lack."""
        question = {
            "store": self._store if isinstance(self._store, str) else str(self._store.absolute()),
            "use": self._predictor.use,
            "options": self._predictor.options,
            "agent": agent_id,
            "since_ns": span.since_ns,
            "until_ns": span.until_ns,
            "most": most,
        }
        async with self._turn:
            answer = await self._asked(json.dumps(question).encode())
        return {
            "charts": [
                {
                    "name": chart["name"],
                    "t": [ms(each) for each in chart["t"]],
                    "value": [figure(each) for each in chart["value"]],
                    "limit": [figure(each) for each in chart["limit"]],
                }
                for chart in answer["charts"]
            ],
            "remark": answer["remark"],
        }

    async def close(self) -> None:
        """End the process."""
        if self._idle:
            self._idle.cancel()
        process, self._process = self._process, None
        if process:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _asked(self, question: bytes) -> dict[str, Any]:
        """The answer of the process, which ends where it gives none."""
        if self._idle:
            self._idle.cancel()
        answer = b""
        try:
            async with asyncio.timeout(self._most_s):
                answer = await self._exchange(question)
            reason = "its process ended"
        except TimeoutError:
            reason = f"it takes longer than {self._most_s:g} s"
        finally:
            if not answer:
                await self.close()
        if not answer:
            return {"charts": [], "remark": f"the predictor cannot be replayed: {reason}"}
        self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._end_idle)
        told: dict[str, Any] = json.loads(answer)
        return told

    async def _exchange(self, question: bytes) -> bytes:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "broker.console.present.worker"),
                stdin=PIPE,
                stdout=PIPE,
                limit=_MOST_BYTES,
                start_new_session=True,  # a person's Ctrl-C is for the console
            )
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process has no pipes")
        try:
            process.stdin.write(question + b"\n")
            await process.stdin.drain()
            return await process.stdout.readline()
        except ConnectionError:
            return b""

    def _end_idle(self) -> None:
        process, self._process = self._process, None
        if process and process.returncode is None:
            process.kill()
