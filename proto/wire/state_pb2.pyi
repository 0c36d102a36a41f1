from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AdmissionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AdmissionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StateResponse(_message.Message):
    __slots__ = ("learning", "alarm")
    LEARNING_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    learning: Learning
    alarm: Alarm
    def __init__(self, learning: _Optional[_Union[Learning, _Mapping]] = ..., alarm: _Optional[_Union[Alarm, _Mapping]] = ...) -> None: ...

class Learning(_message.Message):
    __slots__ = ("seen", "needed")
    SEEN_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    seen: int
    needed: int
    def __init__(self, seen: _Optional[int] = ..., needed: _Optional[int] = ...) -> None: ...

class Alarm(_message.Message):
    __slots__ = ("since_ns", "reason")
    SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    since_ns: int
    reason: str
    def __init__(self, since_ns: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...
