"""Other chips that have the addresses of an ADS1115, by their registers as a function of time."""


class Lm75:
    """A thermometer: a register of temperature, a config of one byte, two limits.

    Source: LM75A data sheet, "Register list". Here at 21.5 degrees, or as `degrees` says.
    """

    def __init__(self, degrees: float = 21.5) -> None:
        self._registers = [round(degrees * 256) & 0xFFE0, 0x00, 0x4B00, 0x5000]
        self._pointer = 0

    def write(self, data: bytes, _at_ns: int) -> None:
        if data:
            self._pointer = data[0] & 3
        if len(data) > 1 and self._pointer == 1:
            self._registers[1] = data[-1] & 0x1F
        elif len(data) > 2 and self._pointer:
            self._registers[self._pointer] = (data[1] << 8 | data[2]) & 0xFF80

    def read(self, count: int, _at_ns: int) -> bytes:
        register = self._registers[self._pointer]
        one = bytes((register,)) if self._pointer == 1 else register.to_bytes(2, "big")
        return (one * count)[:count]


class Pcf8591:
    """A converter of 8 bits: what is written is a control byte, what is read are its inputs.

    Source: PCF8591 data sheet, "A/D conversion": the first byte is of the conversion before.
    """

    def __init__(self, *inputs: int) -> None:
        self._inputs = inputs
        self._control = 0
        self._latest = 0x80  # since it got power

    def write(self, data: bytes, _at_ns: int) -> None:
        if data:
            self._control = data[0]

    def read(self, count: int, _at_ns: int) -> bytes:
        given = bytearray()
        for _ in range(count):
            given.append(self._latest)
            self._latest = self._inputs[self._control & 3]
        return bytes(given)
