from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class BrokerRequest(_message.Message):
    __slots__ = ("id", "sensor1", "sensor2", "sensor3", "sensor4")
    ID_FIELD_NUMBER: _ClassVar[int]
    SENSOR1_FIELD_NUMBER: _ClassVar[int]
    SENSOR2_FIELD_NUMBER: _ClassVar[int]
    SENSOR3_FIELD_NUMBER: _ClassVar[int]
    SENSOR4_FIELD_NUMBER: _ClassVar[int]
    id: int
    sensor1: float
    sensor2: float
    sensor3: float
    sensor4: float
    def __init__(self, id: _Optional[int] = ..., sensor1: _Optional[float] = ..., sensor2: _Optional[float] = ..., sensor3: _Optional[float] = ..., sensor4: _Optional[float] = ...) -> None: ...

class BrokerResponse(_message.Message):
    __slots__ = ("id", "prediction")
    ID_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    id: int
    prediction: bool
    def __init__(self, id: _Optional[int] = ..., prediction: bool = ...) -> None: ...
