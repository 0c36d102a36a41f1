"""What the name of a column hints at. A hint counts only where the column behaves accordingly."""

import re

_WORD = re.compile(r"[^\W\d_]+|\d+")


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_TIME = _set(
    "time timestamp datetime date clock sec secs second seconds ms msec millis milliseconds us"
    " usec micros microseconds elapsed epoch unix zeit datum uhrzeit sekunden temps heure fecha"
    " hora tempo tid tijd ts"
)
# What names of times have besides.
_OF_TIME = _set(
    "at since start started run running total test relative absolute stamp system local utc gmt"
    " logger rel abs of day of"
)
_SERIAL = _set("id no nr num number index idx entry record row seq sequence n line unnamed")
_COUNT = _set("sample samples scan count counter point points reading packet frame step cycle data")
_OF_NAMES = _set(
    "entity field measurement varname var variable parameter tag sensor channel name topic metric"
    " signal"
)
_MILLISECONDS = _set("ms msec millis milliseconds millisecond")
_OF_ONE = _set("table channel node device")
_LABEL = _set(
    "label labels anomaly anomalies fault faults class target alarm failure failed event outlier"
    " normal flag state status y changepoint truth attack broken störung stoerung fehler ausfall"
    " défaut defaut panne fallo falla guasto storing fel"
)
_PARTS = (
    (1900, 2200, _set("year yr yyyy jahr")),
    (1, 12, _set("month mon monat")),
    (1, 31, _set("day dd tag")),
    (1, 366, _set("doy")),
    (0, 24, _set("hour hours hh hr stunde")),
    (0, 60, _set("minute minutes min mm second seconds sec ss")),
    (0, 999, _MILLISECONDS),
    (0, 7, _set("weekday dow")),
)

_UNITS_NS = (
    (_set("s sec secs second seconds sekunden"), 10**9),
    (_set("ns nanoseconds nanos"), 1),
    (_set("us usec micros microseconds µs μs"), 10**3),
    (_MILLISECONDS, 10**6),
    (_set("min minutes minute"), 60 * 10**9),
    (_set("h hours hour hr"), 3600 * 10**9),
    (_set("days day d"), 86_400 * 10**9),
)


def words(name: str) -> frozenset[str]:
    """The words in a name, in lower case: "entry_id" has two, and so has "entryId"."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return frozenset(_WORD.findall(parted.lower()))


def is_of_time(name: str) -> bool:
    """Whether it may be a time; "X_Value" is LabVIEW's, "T" a temperature."""
    found = words(name)
    return bool(found & _TIME) or found == {"x", "value"} or re.match(r"t\b|t_", name) is not None


def is_only_time(name: str) -> bool:
    """Whether it names a time and nothing else, as "time_ms" and "Elapsed Time" do."""
    units = frozenset(word for names, _ in _UNITS_NS for word in names)
    found = words(name)
    return is_of_time(name) and found <= _TIME | _OF_TIME | units | {"x", "value", "t"}


def is_of_counter(name: str) -> bool:
    """Whether it may be a number of a row, or of what the row is about."""
    return bool(words(name) & (_SERIAL | _COUNT | _OF_ONE)) or name.strip() == "#"


def is_serial(name: str) -> bool:
    """Whether it names a number of a row and nothing else, as "entry_id" does."""
    found = {word for word in words(name) if not word.isdigit()}
    return bool(found & _SERIAL and found <= _SERIAL | _COUNT) or name.strip() == "#"


def is_count(name: str) -> bool:
    """Whether it names what is counted and nothing else, as "Sample" does."""
    found = {word for word in words(name) if not word.isdigit()}
    return bool(found and found <= _SERIAL | _COUNT) or name.strip() == "#"


def is_of_label(name: str) -> bool:
    """Whether it may say what a person knows about the row."""
    return bool(words(name) & _LABEL)


def is_part_of_date(name: str, least: float, most: float) -> bool:
    """Whether it may be an hour, say: it is called so, and the values are what hours can be."""
    return any(
        len(words(name)) == 1 and words(name) <= names and low <= least and most <= high
        for low, high, names in _PARTS
    )


def is_ambiguous_part(name: str) -> bool:
    """Whether a part of a date may be a minimum, or millimetres, as well."""
    return name.strip().lower() in ("min", "mm")


def is_unit_of_time(name: str, unit: str) -> bool:
    """Whether a unit is one of time, or a name holds nothing but such a unit, as "Minutes" does."""
    return any(words(unit) & names or frozenset() < words(name) <= names for names, _ in _UNITS_NS)


def is_of_names(name: str) -> bool:
    """Whether the cells may be names of what is measured in a row, as in Home Assistant's."""
    return bool(words(name) & _OF_NAMES)


def is_milliseconds(name: str) -> bool:
    """Whether it may be the part of a time behind its seconds."""
    return words(name) <= _MILLISECONDS


def unit_ns(name: str, unit: str) -> int | None:
    """The length of one unit of a time, in ns, as its unit or its name says; None: neither."""
    said = (words(unit), words(name))
    return next((ns for each in said for names, ns in _UNITS_NS if each & names), None)
