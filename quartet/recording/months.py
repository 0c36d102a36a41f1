"""Dates in which a month is a word, in a few languages."""

from datetime import date, datetime
from typing import Any

from dateutil import parser

_MONTHS: list[Any] = [
    ("jan", "january", "januar", "janvier", "janv", "enero", "ene", "gennaio", "gen", "janeiro",
     "januari"),
    ("feb", "february", "februar", "février", "févr", "fév", "febrero", "febbraio", "fevereiro",
     "fev", "februari"),
    ("mar", "march", "märz", "mär", "mrz", "mars", "marzo", "março", "maart", "mrt"),
    ("apr", "april", "avril", "avr", "abril", "abr", "aprile"),
    ("may", "mai", "mayo", "maggio", "mag", "maio", "mei"),
    ("jun", "june", "juni", "juin", "junio", "giugno", "giu", "junho"),
    ("jul", "july", "juli", "juillet", "juil", "julio", "luglio", "lug", "julho"),
    ("aug", "august", "août", "aout", "agosto", "ago", "augustus"),
    ("sep", "sept", "september", "septembre", "septiembre", "settembre", "set", "setembro"),
    ("oct", "october", "okt", "oktober", "octobre", "octubre", "ottobre", "ott", "outubro",
     "out"),
    ("nov", "november", "novembre", "noviembre", "novembro"),
    ("dec", "december", "dez", "dezember", "décembre", "déc", "diciembre", "dic", "dicembre",
     "dezembro"),
]  # fmt: skip


class _Months(parser.parserinfo):
    """The words of English, German, French, Spanish, Italian, Portuguese and Dutch."""

    def __init__(self) -> None:
        self.JUMP = [
            *parser.parserinfo.JUMP,
            *["de", "den", "der", "le", "el", "del", "il", "op", "."],
        ]
        self.MONTHS = _MONTHS
        super().__init__()


_PARSER = parser.parser(_Months())
_DEFAULTS = (datetime(2000, 1, 1), datetime(2001, 2, 2))


def parse(text: str) -> date | None:
    """The date that a text holds; None where it holds none, or only a part of one."""
    try:
        one, other = (_PARSER.parse(text, default=each).date() for each in _DEFAULTS)
    except (ValueError, OverflowError):
        return None
    return one if one == other else None
