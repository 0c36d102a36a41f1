"""The agent of a configuration: opens what it needs, runs it, and says how it went."""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from agent import logs
from agent.claim import claimed
from agent.clock import SystemClock, WaitableClock
from agent.config import Settings
from agent.credentials.opening import open_credentials
from agent.errors import SourceError
from agent.identity import identity
from agent.local import answering, obeying
from agent.sinks.latch import open_latch
from agent.sources import Source
from agent.sources.absent import Absent
from agent.sources.opening import open_source
from agent.spool.directories import open_directories
from agent.spool.spool import Spool
from agent.stages import Agent, Outputs
from quartet.errors import SettingsError
from quartet.metrics.settings import MetricsSettings
from quartet.plural import counted
from quartet.signals import interruptible

log = logging.getLogger(__name__)

# How long the bus thread waits at the most, at each step of a reading, for a loop that
# computes (Python's own 5 ms made reads up to 9 ms late).
SWITCH_INTERVAL_S = 0.0005


def run(
    settings: Settings,
    outputs: Outputs,
    reread: Callable[[], Settings] | None,
    config: Path | None,
) -> int:
    """Run until the source ends or a signal; 0 when every sample has its prediction, else 1.

    `config` is the file that the settings were read from. At SIGHUP they are read again, where
    that is possible. AgentError where a stage cannot be opened; nothing was started then.
    """
    direct = logs.set_up(settings.log.level, to_journal=outputs.journal)
    outputs = replace(outputs, direct=direct)
    if config:
        log.info("configuration: %s", config)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return asyncio.run(_run(settings, outputs, reread))


async def _run(settings: Settings, outputs: Outputs, reread: Callable[[], Settings] | None) -> int:
    clock = SystemClock()
    who = identity(settings)
    if who.is_rehearsal:
        log.info(
            "this simulation streams as %s, a new agent for each run; --agent-id NAME sets a name",
            who.agent_id,
        )
    credentials = open_credentials(settings.tls, clock)
    with (
        _bound(settings.metrics) as sockets,
        open_directories(settings.spool, simulated=settings.is_simulated) as directories,
    ):
        spool = Spool(directories, settings.spool, settings.sampling.period_ns, clock=clock)
        with (
            contextlib.closing(spool),
            claimed(who.agent_id, settings.broker.addresses),
            _source(settings, spool, clock) as source,
        ):
            agent = Agent(
                settings,
                who,
                outputs,
                credentials=credentials,
                source=source,
                spool=spool,
                latch=open_latch(settings.outputs.alarm, directories.cold, clock),
                clock=clock,
                reread=reread,
            )
            async with contextlib.AsyncExitStack() as asked:
                if sockets:
                    from quartet.metrics.listener import serving  # noqa: PLC0415 - as below

                    exposed = serving(sockets, agent.figures, agent.trouble)
                    await asked.enter_async_context(exposed)
                if not directories.private:
                    await asked.enter_async_context(answering(directories.hot, agent.document))
                    await asked.enter_async_context(obeying(directories.hot, agent.release))
                complete = await agent.run()
    # Standard output may be the table of predictions.
    is_taken = outputs.predictions is not None and outputs.predictions.is_stdout
    print(agent.summary.text(), file=sys.stderr if is_taken else sys.stdout)
    return 0 if complete else 1


def _bound(settings: MetricsSettings) -> AbstractContextManager[Sequence[socket.socket]]:
    """The sockets for metrics; none by default."""
    if settings.listen is None:
        return contextlib.nullcontext(())
    from quartet.metrics.listener import bound  # noqa: PLC0415 - so that most agents spare it

    return bound(settings)


@contextlib.contextmanager
def _source(settings: Settings, spool: Spool, clock: WaitableClock) -> Iterator[Source]:
    """The source; where it cannot be opened, and samples wait, one that keeps nobody from them."""
    with contextlib.ExitStack() as stack:
        source: Source
        try:
            with interruptible():  # a named pipe opens when somebody writes to it
                source = stack.enter_context(open_source(settings, clock))
        except SettingsError:
            raise
        except SourceError as error:
            if not spool.unanswered:
                raise
            log.warning(
                "%s of earlier runs: they are sent before the agent ends",
                counted(spool.unanswered, "unsent sample"),
            )
            source = Absent(error)
        yield source
