"""A GPIO as an output, by gpiozero."""

import os
from typing import TYPE_CHECKING

from agent.errors import SinkError
from quartet.distribution import to_install

if TYPE_CHECKING:
    from gpiozero import DigitalOutputDevice


class GpioPin:
    """A GPIO that is on or off. SinkError, with the remedy, where it cannot be used."""

    def __init__(self, name: str, number: int, *, active_high: bool, on: bool) -> None:
        self._name = f"{name}: GPIO{number}"
        self._device = self._open(number, active_high=active_high, on=on)

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
            raise SinkError(f"{self._name} cannot be used: {error}") from error


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
