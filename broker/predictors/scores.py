"""Which output of a model is the score. Nothing is guessed that could turn an alarm round."""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from broker.errors import PredictorError
from quartet.foreign import shown
from quartet.plural import counted

Label = str | int
Result = Sequence[float] | Mapping[Label, float]
"""An output's numbers in their order, or a probability for each class."""

_NUMBERS = ("tensor(float)", "tensor(double)", "tensor(float16)")

# What a converter of scikit-learn makes of predict_proba: one row, and by class its probability.
_BY_CLASS = ("seq(map(string,tensor(float)))", "seq(map(int64,tensor(float)))")

# Probabilities of float32, each rounded: far more than their error, far less than any other sum.
_MOST_OFF = 0.01

# Of outputs and of classes in a message; a model may have thousands.
_MOST_LISTED = 8


class Output(Protocol):
    """What a model tells of one of its outputs."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class Score:
    """Reads the chosen output: one number, or the probability of one class.

    PredictorError, with the outputs and the options that choose one, where the choice is not
    certain: several outputs and no name, a label in place of a score, several numbers and no class.
    """

    def __init__(
        self,
        outputs: Sequence[Output],
        output: str | None,
        label: Label | None,
        classes: Sequence[Label] | None,
    ) -> None:
        self._outputs = outputs
        chosen = self._choose(output)
        self.output: str = chosen.name
        self._label = _checked_label(label)
        self._classes = _checked_classes(classes)
        if chosen.type in _BY_CLASS and classes is not None:
            raise PredictorError(
                f"classes: {_quoted(self.output)} names its own: leave classes out"
            )
        if classes is not None and label is None:
            raise PredictorError("label: missing beside classes: the class that alarm is about")

    def __str__(self) -> str:
        return shown(self.output if self._label is None else f"probability of {self._label}")

    @property
    def is_probability(self) -> bool:
        """Whether it is one of a class, 0 to 1."""
        return self._label is not None

    @property
    def labels(self) -> str | None:
        """The output that names the likeliest class, where classes are given by hand."""
        if not self._classes:
            return None
        names = [each.name for each in self._outputs if _kind(each) == "label"]
        return names[0] if len(names) == 1 else None

    def read(self, result: Result) -> float:
        """The score; PredictorError for an output that is not what its type and options say."""
        if self._label is None and not isinstance(result, Mapping):
            return self._only_number(result)
        probabilities = self._probabilities(result)
        if self._label is None or self._label not in probabilities:
            found = "set label to one of them" if self._label is None else f"not {self._label!r}"
            raise PredictorError(
                f"label: {_quoted(self.output)} has the classes {_listed(probabilities)}: {found}"
            )
        numbers = [*probabilities.values()]
        if any(map(math.isnan, numbers)):
            return math.nan
        if abs(sum(numbers) - 1) > _MOST_OFF or min(numbers) < -_MOST_OFF:
            told = ", ".join(f"{each:.4g}" for each in numbers[:_MOST_LISTED])
            raise PredictorError(
                f"output: {_quoted(self.output)} gives {told} for the classes"
                f" {_listed(probabilities)}: probabilities are 0 to 1, and add up to 1."
                " Export the model with probabilities"
            )
        return probabilities[self._label]

    def check_label(self, label: Label, result: Result) -> None:
        """PredictorError where the model's own label is not the likeliest of the given classes."""
        probabilities = self._probabilities(result)
        first, second = sorted(probabilities.values(), reverse=True)[:2]
        likeliest = max(probabilities, key=lambda each: probabilities[each])
        if label != likeliest and first - second > _MOST_OFF:
            raise PredictorError(
                f"classes: for a row of zeros the model answers {shown(repr(label))}, but by"
                f" classes = [{_listed(self._classes)}] the likeliest is {likeliest!r}: write the"
                " classes in the model's own order (classes_ in scikit-learn)"
            )

    def _choose(self, name: str | None) -> Output:
        if name is None and len(self._outputs) > 1:
            raise self._unclear(f"the model has {len(self._outputs)} outputs: set output to one")
        chosen = [each for each in self._outputs if name in (None, each.name)]
        if not chosen:
            raise self._unclear(f"the model has no output {name!r}")
        if _kind(chosen[0]) == "label":
            raise self._unclear(f"{_quoted(chosen[0].name)} is not a score")
        return chosen[0]

    def _only_number(self, numbers: Sequence[float]) -> float:
        if len(numbers) != 1:
            raise self._unclear(
                f"{_quoted(self.output)} gives {len(numbers)} numbers, not one score"
            )
        return numbers[0]

    def _probabilities(self, result: Result) -> Mapping[Label, float]:
        if isinstance(result, Mapping):
            return result
        if not self._classes:
            raise PredictorError(
                f"classes: {_quoted(self.output)} has numbers without labels: set classes to the"
                ' labels in their order, for example ["healthy", "worn"]; for a score, leave'
                " label out"
            )
        if len(result) != len(self._classes):
            raise PredictorError(
                f"classes: {_quoted(self.output)} gives {counted(len(result), 'number')},"
                f" and {len(self._classes)} classes are named"
            )
        return dict(zip(self._classes, result, strict=True))

    def _unclear(self, reason: str) -> PredictorError:
        told = [_told(each) for each in self._outputs[:_MOST_LISTED]]
        if more := len(self._outputs) - len(told):
            told.append(f"and {more} more")
        return PredictorError(f"output: {reason}. Outputs of the model: {'; '.join(told)}")


def _kind(output: Output) -> str:
    if output.type in _BY_CLASS:
        return "classes"
    if output.type not in _NUMBERS:
        return "label"
    several = [size for size in output.shape if isinstance(size, int) and size > 1]
    return "numbers" if several else "score"


def _told(output: Output) -> str:
    """An output, and the options that choose it."""
    sizes = ", ".join(str(size) if isinstance(size, int) else "?" for size in output.shape)
    kind = output.type.removeprefix("tensor(").removesuffix(")")
    name, shape = _quoted(output.name), f"({shown(kind)} [{shown(sizes)}])"
    match _kind(output):
        case "classes":
            return f"{name}, a probability for each class: set label and alarm"
        case "label":
            return f"{name} {shape}, a label: cannot be used"
        case "numbers":
            return (
                f"{name} {shape}, several numbers: set classes, label and alarm if they are"
                " probabilities; of an autoencoder, export the error (docs/models.md)"
            )
        case _:
            return f"{name} {shape}, a score: set alarm and threshold"


def _checked_label(label: Label | None) -> Label | None:
    if label is not None and not _is_label(label):
        raise PredictorError(f"label must be a text or a whole number, got {label!r}")
    return label


def _checked_classes(classes: Sequence[Label] | None) -> Sequence[Label]:
    if classes is None:
        return []
    if not isinstance(classes, list) or not all(map(_is_label, classes)):
        raise PredictorError(
            f'classes must be a list of labels, for example ["healthy", "worn"], got {classes!r}'
        )
    if len({*classes}) != len(classes) or len(classes) < 2:
        raise PredictorError(f"classes must be two or more, each once, got {classes!r}")
    return classes


def _is_label(label: object) -> bool:
    return isinstance(label, str | int) and not isinstance(label, bool)


def _listed(labels: Sequence[Label] | Mapping[Label, float]) -> str:
    told = [repr(each) for each in labels]
    more = len(told) - _MOST_LISTED
    return shown(", ".join(told[:_MOST_LISTED])) + (f" and {more} more" if more > 0 else "")


def _quoted(name: str) -> str:
    return shown(f'"{name}"')
