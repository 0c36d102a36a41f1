"""What we write is what Prometheus' own parser reads."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parsed

from quartet.metrics.text import (
    DURATIONS_S,
    Histogram,
    alone,
    counter,
    gauge,
    histogram,
    labels,
)

many = settings(derandomize=True, deadline=None, max_examples=200)

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)
values = st.floats() | st.integers(-(2**53), 2**53)


@many
@given(texts, st.lists(st.tuples(texts, values), unique_by=lambda each: each[0]))
def test_labels_and_values_come_back_whatever_is_in_them(
    meaning: str, rows: list[tuple[str, float]]
) -> None:
    given_rows = [(labels(agent=text, kind="a"), value) for text, value in rows]
    text = gauge("quartet_alarm", meaning, given_rows)
    # Lines end with "\n" alone; the parser reads the text by lines as a file has them.
    assert len(text.split("\n")) == len(rows) + 3
    (family,) = parsed(text)
    assert family.type == "gauge"
    assert family.documentation == meaning.strip() or meaning != meaning.strip()
    for (agent, value), sample in zip(rows, family.samples, strict=True):
        assert sample.labels == {"agent": agent, "kind": "a"}
        assert sample.value == value or (math.isnan(sample.value) and math.isnan(value))


@many
@given(st.lists(st.tuples(st.floats(0, 1000), st.integers(1, 600))))
def test_a_histogram_counts_each_duration_at_and_above_its_bound(
    durations: list[tuple[float, int]],
) -> None:
    times = Histogram()
    for duration_s, count in durations:
        times.observe(duration_s, count)
    (family,) = parsed(histogram("quartet_answer_seconds", "x", times.counts, times.sum_s))
    buckets = {
        float(sample.labels["le"]): sample.value
        for sample in family.samples
        if sample.name.endswith("_bucket")
    }
    assert [*buckets] == [*DURATIONS_S, math.inf]
    for bound, seen in buckets.items():
        assert seen == sum(count for duration_s, count in durations if duration_s <= bound)
    told = {sample.name: sample.value for sample in family.samples[len(buckets) :]}
    assert told == {
        "quartet_answer_seconds_sum": times.sum_s,
        "quartet_answer_seconds_count": sum(count for _, count in durations),
    }


def test_a_counter_without_labels_is_a_bare_number() -> None:
    assert counter("quartet_gap_ids_total", "Ids.", alone(7)) == (
        "# HELP quartet_gap_ids_total Ids.\n# TYPE quartet_gap_ids_total counter\n"
        "quartet_gap_ids_total 7\n"
    )
