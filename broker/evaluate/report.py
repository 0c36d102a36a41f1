"""What an evaluation found, in words."""

from collections.abc import Sequence

from broker.evaluate.replay import SUSTAINED_ROWS, Evaluation
from quartet.columns import aligned, named

# What a person reads; the rest is counted.
_SHOWN_EXPLANATIONS = 20

_COLUMNS = (
    *("file", "predictor", "rows", "True", "first sustained", "before", "from it on"),
    *("median us", "p99 us", "state"),
)


def summary(evaluation: Evaluation) -> str:
    """One black box on one file."""
    rows, first = len(evaluation.answers), evaluation.first_sustained
    lines = [
        ("rows", f"{rows}"),
        ("True", f"{evaluation.answers.count(1)} ({_share(evaluation, 0, rows)})"),
    ]
    if first is None:
        lines.append(("sustained alarm", f"none: never {SUSTAINED_ROWS} True in a row"))
    else:
        lines += [
            ("sustained alarm", f"from row {first}, at least {SUSTAINED_ROWS} True in a row"),
            ("True before it", _share(evaluation, 0, first)),
            ("True from it on", _share(evaluation, first, rows)),
        ]
    if not evaluation.is_warm:
        lines.append(("warm-up", "the learning phase did not end: the predictor judged nothing"))
    median_us, p99_us = evaluation.took_us()
    lines.append(("time per sample", f"median {median_us:.1f} us, p99 {p99_us:.1f} us"))
    lines.append(("state", _state(evaluation)))
    text = named(lines)
    text += [f"row {row}: {said}" for row, said in evaluation.explanations[:_SHOWN_EXPLANATIONS]]
    if (more := len(evaluation.explanations) - _SHOWN_EXPLANATIONS) > 0:
        text.append(f"and {more} more explanations")
    return "\n".join(text)


def table(evaluations: Sequence[Evaluation]) -> str:
    """Several, a line each."""
    return "\n".join(aligned([_COLUMNS, *map(_cells, evaluations)], names=2))


def _cells(evaluation: Evaluation) -> tuple[str, ...]:
    rows, first = len(evaluation.answers), evaluation.first_sustained
    median_us, p99_us = evaluation.took_us()
    end = rows if first is None else first
    return (
        *(str(evaluation.path), evaluation.predictor, str(rows), _share(evaluation, 0, rows)),
        *(_first(evaluation), _share(evaluation, 0, end)),
        *(_share(evaluation, end, rows), f"{median_us:.1f}", f"{p99_us:.1f}"),
        _state(evaluation),
    )


def _first(evaluation: Evaluation) -> str:
    first = evaluation.first_sustained
    if first is None:
        return "none" if evaluation.is_warm else "warm-up"
    return str(first)


def _share(evaluation: Evaluation, first: int, end: int) -> str:
    share = evaluation.share_true(first, end)
    return "-" if share is None else f"{share:.1%}"


def _state(evaluation: Evaluation) -> str:
    return "none" if evaluation.state_bytes is None else f"{evaluation.state_bytes} bytes"
