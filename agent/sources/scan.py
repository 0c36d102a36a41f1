"""Which addresses of a bus answer."""

from agent.errors import SourceError
from agent.sources.bus import I2C
from agent.sources.faults import Fault, ReadingError, fault_of

# Of 7 bits; the others are reserved.
_ADDRESSES = range(0x08, 0x78)


def scan(bus: I2C) -> list[int]:
    """The addresses that answer. SourceError where the bus does not work at all."""
    try:
        answers = {address: _answer(bus, address) for address in _ADDRESSES}
    except ReadingError as error:
        raise SourceError(f"{error.fault}: {error.fault.advice}") from error
    if all(answer is Fault.BUSY for answer in answers.values()):
        raise SourceError(f"{Fault.BUSY}: {Fault.BUSY.advice}")
    # What a driver of the kernel has is a chip, too.
    found = [address for address, answer in answers.items() if answer is not Fault.NO_ANSWER]
    if len(found) == len(_ADDRESSES):
        raise SourceError(
            "every address answers: SDA or SCL is held low: check the wires for a short circuit"
            " to ground, and switch the chips on the bus off and on"
        )
    return found


def _answer(bus: I2C, address: int) -> Fault | None:
    """None where a chip does. ReadingError where the bus itself fails, which may take a second."""
    try:
        bus.writeto(address, b"")
    except OSError:  # not all adapters can write nothing
        try:
            bus.readfrom_into(address, bytearray(1))
        except TypeError:  # as Converter has it
            return Fault.BUSY
        except OSError as error:
            fault = fault_of(error)
            if fault in (Fault.TIMEOUT, Fault.BUS_ERROR):
                raise ReadingError(fault) from error
            return fault
    return None
