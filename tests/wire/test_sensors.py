"""What sensors are called, on its way over the wire."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.sensors import MOST_BYTES, MOST_IN_NAME, MOST_IN_UNIT, Label, decode, encode

many = settings(derandomize=True, deadline=None, max_examples=200)

anything = st.text(st.characters(), max_size=200)
"""Also control characters and halves of surrogate pairs."""
labels = st.one_of(st.none(), st.builds(Label, anything, anything))
short = st.builds(
    Label,
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=32),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=MOST_IN_UNIT),
)


def four(each: st.SearchStrategy[Label | None]) -> st.SearchStrategy[tuple[Label | None, ...]]:
    return st.tuples(each, each, each, each)


@many
@given(four(st.one_of(st.none(), short)))
def test_labels_as_a_configuration_permits_them_arrive_as_they_are(
    told: tuple[Label | None, ...],
) -> None:
    assert decode(encode(told)) == told


@many
@given(four(labels))
def test_any_labels_arrive_within_the_bounds_and_where_they_belong(
    told: tuple[Label | None, ...],
) -> None:
    encoded = encode(told)
    assert len(encoded) <= MOST_BYTES
    for label, came in zip(told, decode(encoded), strict=True):
        assert (label is None) == (came is None)
        if label and came:
            assert 1 <= len(came.name) <= MOST_IN_NAME
            assert len(came.unit) <= MOST_IN_UNIT
            whole = label.name.encode(errors="replace").decode()
            assert not label.name or came.name == whole or whole.startswith(came.name[:-1])


def test_the_form_is_that_of_the_documented_table() -> None:
    told = (Label("oil temperature", "°C"), None, Label("vibration"), None)
    assert encode(told) == (
        '[{"name":"oil temperature","unit":"°C"},null,{"name":"vibration","unit":""},null]'.encode()
    )
    later = b'[{"name":"a","unit":"bar","least":0},{"name":"b"},null,null]'
    assert decode(later) == (Label("a", "bar"), Label("b"), None, None)


def test_the_longest_names_are_cut_and_say_so() -> None:
    told = (Label("\x01" * 200, "\x02" * 200), Label("😀" * 200, "😀" * 200)) * 2
    for label in decode(encode(told)):
        assert label
        assert label.name.endswith("…")
        assert label.unit.endswith("…")
    assert decode(encode([Label("a" * 64), Label("b" * 65), None, None])) == (
        *(Label("a" * 64), Label("b" * 63 + "…")),
        *(None, None),
    )


MALFORMED = [
    *(b"", b"{}", b"[]", b"null", b"1", b"[null,null,null]", b"[null,null,null,null,null]"),
    *(b"[null,null,null,null", b"[null,null,null,null]x", b"[" * MOST_BYTES, b"\xff\xfe"),
    *(b"[1,2,3,4]", b'["a","b","c","d"]', b"[[],[],[],[]]", b"[true,null,null,null]"),
    b'[{"name":"\xff"},null,null,null]',
    *(
        json.dumps([entry, None, None, None]).encode()
        for entry in (
            {},
            {"unit": "bar"},
            {"name": ""},
            {"name": None},
            {"name": 7},
            {"name": ["a"]},
            {"name": "a", "unit": None},
            {"name": "a" * (MOST_IN_NAME + 1)},
            {"name": "a", "unit": "b" * (MOST_IN_UNIT + 1)},
            {"name": "\ud800"},
        )
    ),
    b'[{"name":"a","x":' + b"[" * 900 + b"]" * 90 + b"},null,null,null]",
    b"[null,null,null,null]" + b" " * MOST_BYTES,
]


@pytest.mark.parametrize("encoded", MALFORMED)
def test_what_is_malformed_or_too_long_is_a_value_error(encoded: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(encoded)


@many
@given(st.binary(max_size=MOST_BYTES + 9) | anything.map(lambda t: t.encode(errors="replace")))
def test_any_bytes_are_labels_or_a_value_error(encoded: bytes) -> None:
    try:
        found = decode(encoded)
    except ValueError:
        return
    assert len(found) == 4
