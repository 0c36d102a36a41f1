"""What the config register of a chip tells of the conversion that was started. Pure."""

from agent.sources.channel import COMPARATOR_OFF, MUX, SINGLE_SHOT, START
from agent.sources.faults import Fault

ALTERNATING = 0x0004
"""The bit COMP_LAT, which means nothing while the comparator is off. Each start has it other than
the one before, so that a start which did not arrive is seen with a single sensor too."""

STOPPED = SINGLE_SHOT | COMPARATOR_OFF
"""A configuration that starts nothing, and ends a mode that converts all the time."""

# Of a wire that does not move.
_STILL = (0x0000, 0xFFFF)

# What a chip has that got power just now.
_RESET = 0x8583

_MUX_BITS = max(MUX.values())


def before_start(register: int, written: int) -> Fault | None:
    """Why no conversion may be started now, where one may not; `written` is what we left there.

    A start within a conversion of somebody else would be ignored, and its result be taken for ours.
    """
    if register in _STILL:
        return Fault.NO_DATA
    if register & START:
        return None
    return Fault.SLOW if register | START == written else Fault.FOREIGN


def after_conversion(register: int, config: int, held: int) -> Fault | None:
    """Why the result is not of the start with `config`; `held` is what it held before."""
    if register == config:
        return None
    if register in _STILL:
        return Fault.NO_DATA
    if register | START == config:
        return Fault.SLOW
    if (register ^ held) & ~START == 0:
        return Fault.BUSY
    # A reset; or it does not take another input.
    is_lost = register == _RESET or not (register ^ config) & ~(_MUX_BITS | START)
    return Fault.LOST if is_lost else Fault.FOREIGN
