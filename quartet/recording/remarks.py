"""What is said once about a recording, with the first place, and counted after that."""

from collections.abc import Callable
from dataclasses import dataclass

from quartet.plural import counted


@dataclass(slots=True)
class _Remark:
    text: str
    noun: str
    has_line: bool
    count: int = 1


class Remarks:
    """Remarks in the order of their first places; `say` gets each text at its first place."""

    def __init__(self, where: str, say: Callable[[str], None]) -> None:
        self._where = where
        self._say = say
        self._remarks: dict[str, _Remark] = {}

    def add(self, kind: str, text: str, line: int = 0) -> None:
        """Say what is remarkable, or count it where the same kind was said; "" is nothing.

        `kind` is what there are several of, as a noun.
        """
        if not text:
            return
        if known := self._remarks.get(kind):
            known.count += 1
            if known.count == 1:
                known.text = self._placed(text, line)
            return
        placed = self._placed(text, line)
        self._remarks[kind] = _Remark(placed, kind, has_line=line > 0)
        self._say(placed)

    def begin_again(self) -> None:
        """Count what is remarkable in lines from 0, without saying it again."""
        for remark in self._remarks.values():
            remark.count = 0 if remark.has_line else remark.count

    def texts(self) -> list[str]:
        """All remarks, each with the number of its places where they are several."""
        return [
            f"{remark.text} ({counted(remark.count, remark.noun)})"
            if remark.count > 1
            else remark.text
            for remark in self._remarks.values()
            if remark.count
        ]

    def _placed(self, text: str, line: int) -> str:
        return f"{self._where}: line {line}: {text}" if line else f"{self._where}: {text}"
