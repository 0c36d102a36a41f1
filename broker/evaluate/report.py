"""What an evaluation found, in words."""

from collections.abc import Sequence
from datetime import timedelta

from broker.evaluate.judgement import Judgement, total
from broker.evaluate.replay import SUSTAINED_ROWS, Evaluation
from quartet.columns import aligned, named
from quartet.plural import counted

# What a person reads; the rest is counted.
_SHOWN_EXPLANATIONS = 20
_SHOWN_FAULTS = 20

_COLUMNS = (
    *("file", "predictor", "rows", "True", "first sustained", "before", "from it on"),
    *("median us", "p99 us", "state"),
)
_JUDGED_COLUMNS = (
    *("file", "predictor", "precision", "recall", "F1", "false alarm rate", "faults found"),
    *("median delay", "false alarms", "a day"),
)


def summary(evaluation: Evaluation) -> str:
    """One black box on one file."""
    rows, first = len(evaluation.answers), evaluation.first_sustained
    lines = [
        ("rows", f"{rows}"),
        ("True", f"{evaluation.answers.count(1)} ({_percent(evaluation.share_true(0, rows))})"),
    ]
    if evaluation.problem:
        lines.append(("not read", "the rest of the file, because of the error"))
    if first is None:
        lines.append(("sustained alarm", f"none: never {SUSTAINED_ROWS} True in a row"))
    else:
        lines += [
            ("sustained alarm", f"from row {first}, at least {SUSTAINED_ROWS} True in a row"),
            ("True before it", _percent(evaluation.share_true(0, first))),
            ("True from it on", _percent(evaluation.share_true(first, rows))),
        ]
    if not evaluation.is_warm:
        lines.append(("warm-up", "the learning phase did not end: the predictor judged nothing"))
    median_us, p99_us = map(evaluation.took.quantile_us, (0.5, 0.99))
    lines.append(("time per sample", f"median {median_us:.1f} us, p99 {p99_us:.1f} us"))
    lines.append(("state", _state(evaluation)))
    judgement = evaluation.judgement
    text = named([*lines, *(_judged(judgement) if judgement else ())])
    text += [f"row {row}: {said}" for row, said in evaluation.explanations[:_SHOWN_EXPLANATIONS]]
    if (more := len(evaluation.explanations) - _SHOWN_EXPLANATIONS) > 0:
        text.append(f"and {more} more explanations")
    return "\n".join(text)


def table(evaluations: Sequence[Evaluation]) -> str:
    """Several, a line each; with the truth also what they are worth, and all files together.

    One file is not named in each line.
    """
    skipped = 1 if len({each.source for each in evaluations}) == 1 else 0
    rows = [_COLUMNS, *map(_cells, evaluations)]
    text = aligned([row[skipped:] for row in rows], names=2 - skipped)
    judged = [(each, verdict) for each in evaluations if (verdict := each.judgement)]
    if judged:
        rows = [_JUDGED_COLUMNS]
        rows += [(each.source, each.predictor, *_judged_cells(verdict)) for each, verdict in judged]
        for predictor in dict.fromkeys(each.predictor for each, _ in judged):
            verdicts = [verdict for each, verdict in judged if each.predictor == predictor]
            if len(verdicts) > 1:
                rows.append(("all", predictor, *_judged_cells(total(verdicts))))
        text += ["", *aligned([row[skipped:] for row in rows], names=2 - skipped)]
    return "\n".join(text)


def document(evaluations: Sequence[Evaluation]) -> list[dict[str, object]]:
    """The same for a program: an object for each file and predictor."""
    return [_object(each) for each in evaluations]


def _judged(judgement: Judgement) -> list[tuple[str, str]]:
    precision, recall, f1, rate, found, _, alarms, a_day = _judged_cells(judgement)
    lines = [
        ("precision", f"{precision} of the rows that are True are faulty"),
        ("recall", f"{recall} of the faulty rows are True"),
        ("F1", f1),
        ("false alarm rate", f"{rate} of the rows without a fault are True"),
        ("false alarms", alarms if a_day == "-" else f"{alarms}, {a_day} a day"),
        ("faults found", found),
    ]
    for fault in judgement.faults[:_SHOWN_FAULTS]:
        if fault.delay_rows is None:
            said = "missed"
        else:
            said = f"True after {counted(fault.delay_rows, 'row')}"
            if fault.delay_ns is not None:
                said += f", {timedelta(seconds=round(fault.delay_ns / 1e9))}"
        lines.append((f"rows {fault.first}-{fault.end - 1}", said))
    if (more := len(judgement.faults) - _SHOWN_FAULTS) > 0:
        lines.append(("and", counted(more, "more fault")))
    return lines


def _judged_cells(judgement: Judgement) -> tuple[str, ...]:
    delay, a_day = judgement.median_delay_rows, judgement.false_alarms_a_day
    return (
        _percent(judgement.precision),
        _percent(judgement.recall),
        "-" if judgement.f1 is None else f"{judgement.f1:.3f}",
        _percent(judgement.false_alarm_rate),
        f"{judgement.found} of {len(judgement.faults)}",
        "-" if delay is None else f"{delay:g} rows",
        f"{judgement.false_alarms}",
        "-" if a_day is None else f"{a_day:.2g}",
    )


def _cells(evaluation: Evaluation) -> tuple[str, ...]:
    rows, first = len(evaluation.answers), evaluation.first_sustained
    median_us, p99_us = map(evaluation.took.quantile_us, (0.5, 0.99))
    end = rows if first is None else first
    return (
        *(evaluation.source, evaluation.predictor, str(rows)),
        *(_percent(evaluation.share_true(0, rows)), _first(evaluation)),
        *(_percent(evaluation.share_true(0, end)), _percent(evaluation.share_true(end, rows))),
        *(f"{median_us:.1f}", f"{p99_us:.1f}", _state(evaluation)),
    )


def _first(evaluation: Evaluation) -> str:
    first = evaluation.first_sustained
    if first is None:
        return "none" if evaluation.is_warm else "warm-up"
    return str(first)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _state(evaluation: Evaluation) -> str:
    return "none" if evaluation.state_bytes is None else f"{evaluation.state_bytes} bytes"


def _object(evaluation: Evaluation) -> dict[str, object]:
    rows = len(evaluation.answers)
    median_us, p99_us = map(evaluation.took.quantile_us, (0.5, 0.99))
    told: dict[str, object] = {
        "file": evaluation.source,
        "predictor": evaluation.predictor,
        "rows": rows,
        "true": evaluation.answers.count(1),
        "first_sustained": evaluation.first_sustained,
        "has_learned": evaluation.is_warm,
        "median_us": median_us,
        "p99_us": p99_us,
        "state_bytes": evaluation.state_bytes,
        "explanations": [{"row": row, "text": text} for row, text in evaluation.explanations],
        "problem": evaluation.problem or None,
    }
    if judgement := evaluation.judgement:
        told["judgement"] = _judgement_object(judgement)
    return told


def _judgement_object(judgement: Judgement) -> dict[str, object]:
    return {
        "true_positives": judgement.true_positives,
        "false_positives": judgement.false_positives,
        "false_negatives": judgement.false_negatives,
        "true_negatives": judgement.true_negatives,
        "precision": judgement.precision,
        "recall": judgement.recall,
        "f1": judgement.f1,
        "false_alarm_rate": judgement.false_alarm_rate,
        "false_alarms": judgement.false_alarms,
        "false_alarms_a_day": judgement.false_alarms_a_day,
        "faults": [
            {
                "first": fault.first,
                "last": fault.end - 1,
                "delay_rows": fault.delay_rows,
                "delay_s": None if fault.delay_ns is None else fault.delay_ns / 1e9,
            }
            for fault in judgement.faults
        ],
    }
