"""What crosses a stage of the broker."""

from dataclasses import dataclass

from quartet.channels import Values


@dataclass(frozen=True, slots=True)
class Sample:
    """Four values with their id. A value that is NaN is a reading that failed."""

    id: int
    values: Values


@dataclass(frozen=True, slots=True)
class Answer:
    """The prediction for the sample with this id."""

    id: int
    prediction: bool
