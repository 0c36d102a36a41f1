"""A GPIO as an output, by gpiozero."""

import os
from typing import TYPE_CHECKING

from agent.errors import SinkError
from quartet.distribution import to_install

if TYPE_CHECKING:
    from gpiozero import DigitalOutputDevice
    from gpiozero.pins.lgpio import LGPIOFactory


# The chip of the 40-pin header has another number on another board, and with another kernel:
# 0 on a Pi 4, 4 or 0 on a Pi 5. Its label begins so on all of them (pinctrl-bcm2711,
# pinctrl-rp1), and it has a line for each GPIO of the header.
_HEADER_LABEL = "pinctrl-"
_HEADER_LINES = 28
_MOST_CHIPS = 32


# The kernel gives a pin to one process.
_ONE_EACH = ": another program has it, and each agent on a computer needs pins of its own"


class GpioPin:
    """A GPIO that is on or off. SinkError, with the remedy, where it cannot be used."""

    def __init__(self, name: str, number: int, *, active_high: bool, on: bool) -> None:
        self._name = f"{name}: GPIO{number}"
        self._device = self._open(number, active_high=active_high, on=on)
        self.place = _place(self._device.pin_factory, number)
        """The line of the kernel that it is, in words; empty where lgpio does not drive it."""

    def switch(self, on: bool) -> None:
        """Be on or off from now."""
        try:
            self._device.value = on
        except Exception as error:
            raise SinkError(f"{self._name} cannot be switched: {error}") from error

    def close(self) -> None:
        """Drive it no longer: it is an input then, and follows its pull resistor."""
        self._device.close()

    def _open(self, number: int, *, active_high: bool, on: bool) -> "DigitalOutputDevice":
        # The library that works on all models; without it, gpiozero tries others
        # one after another, and ends with one that no longer does.
        os.environ.setdefault("GPIOZERO_PIN_FACTORY", "lgpio")
        try:
            from gpiozero import BadPinFactory, Device, DigitalOutputDevice  # noqa: PLC0415 - optional
        except ImportError as error:
            raise SinkError(f"{self._name}: no gpiozero: {to_install('pi')}") from error
        try:
            if Device.pin_factory is None and os.environ["GPIOZERO_PIN_FACTORY"] == "lgpio":
                Device.pin_factory = _header()
            Device.ensure_pin_factory()
            _claim_with_level(Device.pin_factory)
            return DigitalOutputDevice(number, active_high=active_high, initial_value=on)
        except BadPinFactory as error:
            raise SinkError(
                f"{self._name} cannot be used: {error}; check GPIOZERO_PIN_FACTORY"
            ) from error
        except ImportError as error:
            raise SinkError(
                f"{self._name}: no library for pins ({error}): 'apt install python3-lgpio', in a"
                " virtual environment of Debian's Python with --system-site-packages"
            ) from error
        # Each of gpiozero's backends has errors of its own, without a common ancestor.
        except Exception as error:
            hint = _ONE_EACH if "busy" in str(error) else ""
            raise SinkError(f"{self._name} cannot be used: {error}{hint}") from error


def _header() -> "LGPIOFactory":
    """The pins of the header, whatever the number of their chip.

    gpiozero goes by the number, which of its versions know differently.
    """
    import lgpio  # noqa: PLC0415 - optional
    from gpiozero.pins.lgpio import LGPIOFactory  # noqa: PLC0415

    for number in range(_MOST_CHIPS):
        try:
            chip = lgpio.gpiochip_open(number)
        except lgpio.error:
            continue
        _, lines, _, label = lgpio.gpio_get_chip_info(chip)
        lgpio.gpiochip_close(chip)
        if label.startswith(_HEADER_LABEL) and lines >= _HEADER_LINES:
            return LGPIOFactory(chip=number)
    return LGPIOFactory()


def _place(factory: object, number: int) -> str:
    if type(factory).__name__ != "LGPIOFactory":
        return ""
    import lgpio  # noqa: PLC0415 - gpiozero has imported it

    _, _, chip, label = lgpio.gpio_get_chip_info(factory._handle)  # type: ignore[attr-defined]  # noqa: SLF001
    return f"line {number} of {chip} ({label})"


def _claim_with_level(factory: object) -> None:
    """Have a pin become an output at its level at once.

    gpiozero has lgpio claim it low, and then sets its state: a relay that is
    active low would click at each start.
    """
    if type(factory).__name__ != "LGPIOFactory":
        return
    import lgpio  # noqa: PLC0415 - gpiozero has just imported it
    from gpiozero.pins.lgpio import LGPIOPin  # noqa: PLC0415

    class LevelPin(LGPIOPin):  # type: ignore[misc]
        def output_with_state(self, state: bool) -> None:
            lgpio.gpio_claim_output(self.factory._handle, self._number, int(state))  # noqa: SLF001

    factory.pin_class = LevelPin  # type: ignore[attr-defined]
