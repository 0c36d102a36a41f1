"""What the agent tells the broker of its sensors."""

import logging

import pytest

from agent.labels import told
from wire.sensors import Label, decode

PLAIN = (Label("oil temperature", "°C"), None, Label("v" * 64, "u" * 16), Label("sensor4"))


def test_labels_that_fit_are_told_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    assert decode(told(PLAIN)) == PLAIN
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (Label("v" * 65, "g"), f"the sensor '{'v' * 65} [g]' as '{'v' * 63}… [g]':"),
        (Label("v", "u" * 17), f"the sensor 'v [{'u' * 17}]' as 'v [{'u' * 15}…]':"),
        (Label("", "bar"), "the sensor ' [bar]' as 'sensor2 [bar]':"),
        (Label("\udcff\x1b[2J" * 13), r"the sensor '\udcff\x1b[2J"),
    ],
)
def test_a_label_that_does_not_fit_is_told_as_far_as_it_does_and_said_once(
    label: Label, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    sent = decode(told((PLAIN[0], label, None, PLAIN[3])))
    assert (sent[0], sent[2], sent[3]) == (PLAIN[0], None, PLAIN[3])
    assert sent[1] != label
    (said,) = caplog.messages
    assert message in said
    assert said.isprintable()
