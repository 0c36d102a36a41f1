"""Finds the sample that an incident is about."""

from broker.errors import CommandError
from broker.export.export import known_line
from broker.recorder.reader import Reader, RecordedSample, Span

_SHORT = 8
# More sessions than an agent's records have.
_MOST_SESSIONS = 10_000


async def sample_of(reader: Reader, agent_id: str, id_: int, session: str) -> RecordedSample:
    """A recorded sample by its id; `session`: how its session begins, or "" for the newest.

    Looks through the agent's records. CommandError where there is none, StoreError.
    """
    await known_line(reader, agent_id)
    accounts = (await reader.sessions(agent_id, _MOST_SESSIONS)).newest
    wanted = [
        each.session_id
        for each in accounts
        if each.session_id.startswith(session.lower())
        and each.first_id is not None
        and each.last_id is not None
        and each.first_id <= id_ <= each.last_id
    ]
    if not wanted:
        known = ", ".join(each.session_id[:_SHORT] for each in accounts[:5]) or "none"
        which = f"session {session}" if session else "a session"
        raise CommandError(
            f"{agent_id}: no sample {id_} in {which}: 'broker ledger' lists sessions with their"
            f" ids; the newest are {known}"
        )
    if session and len(wanted) > 1:
        raise CommandError(f"{agent_id}: several sessions begin with {session}: give more of it")
    found: dict[str, RecordedSample] = {}
    async for samples in reader.samples(agent_id, Span()):
        found |= {each.session_id: each for each in samples if each.id == id_}
        if wanted[0] in found:
            break
    for name in wanted:
        if name in found:
            return found[name]
    raise CommandError(
        f"{agent_id}: sample {id_} is not on record any more: it was deleted to keep the store"
        " within its bounds"
    )
