"""An ONNX model's alarm: its options, its rows, and why a model is refused."""

import pytest

from broker.errors import PredictorError
from broker.predictors.load import load
from quartet.channels import Values

ABOVE = {"alarm": "above", "threshold": 0.5}


def row(value: float) -> Values:
    return value, value, value, value


def refusal(**options: object) -> str:
    with pytest.raises(PredictorError) as raised:
        load("onnx", ABOVE | options)
    message = str(raised.value)
    assert message.startswith("predictor onnx: ")
    assert "Traceback" not in message
    assert "\n" not in message
    return message
