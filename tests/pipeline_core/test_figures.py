"""Figures: sums that do not care how the parts were grouped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_core.figures import BudgetChange, Figures, MemoryEvent

counts = st.integers(0, 1000)
seconds = st.integers(0, 1000).map(float)  # whole numbers, so that sums are exact
labels = st.dictionaries(st.sampled_from(["POS", "NEG", "odd"]), st.integers(1, 50))


@st.composite
def figures(draw) -> Figures:
    tokens = draw(counts)
    return Figures(
        rows=draw(counts),
        quarantined=draw(counts),
        truncated=draw(counts),
        tokens=tokens,
        padded_tokens=tokens + draw(counts),
        batches=draw(counts),
        seconds=draw(seconds),
        forward_seconds=draw(seconds),
        budgets=draw(
            st.lists(
                st.builds(BudgetChange, rows_done=counts, max_batch_tokens=counts, reason=st.just("start")), max_size=2
            )
        ),
        memory_events=draw(
            st.lists(
                st.builds(MemoryEvent, rows_done=counts, chunks=counts, padded_tokens=counts, message=st.just("CUDA")),
                max_size=2,
            )
        ),
        labels=draw(labels),
    )


SUMMED = ("rows", "quarantined", "truncated", "tokens", "padded_tokens", "batches", "seconds", "forward_seconds")


@given(parts=st.lists(figures(), max_size=4))
def test_a_total_is_the_sum_of_its_parts(parts):
    total = Figures.total(parts)
    for name in SUMMED:
        assert getattr(total, name) == sum(getattr(part, name) for part in parts)
    for label in ("POS", "NEG", "odd"):
        assert total.labels.get(label, 0) == sum(part.labels.get(label, 0) for part in parts)


@given(a=figures(), b=figures(), c=figures())
def test_parts_may_be_summed_in_any_grouping(a, b, c):
    total = Figures.total([a, b, c])
    assert Figures.total([Figures.total([a, b]), c]) == total
    assert Figures.total([a, Figures.total([b, c])]) == total


@given(a=figures(), b=figures())
def test_events_keep_their_order_and_count_the_rows_before_them(a, b):
    total = Figures.total([a, b])
    for name in ("budgets", "memory_events"):
        wanted = [event.rows_done for event in getattr(a, name)]
        wanted += [a.rows + event.rows_done for event in getattr(b, name)]
        assert [event.rows_done for event in getattr(total, name)] == wanted


@given(part=figures())
def test_one_part_is_its_own_total_and_is_left_as_it_was(part):
    before = part.model_copy(deep=True)
    assert Figures.total([part]) == part
    assert Figures.total([part, Figures()]) == part
    assert Figures.total([part, part]).rows == 2 * part.rows
    assert part == before


def test_the_total_of_nothing_is_nothing():
    assert Figures.total([]) == Figures()


@given(part=figures())
def test_the_share_of_padding_lies_between_none_and_all(part):
    assert 0.0 <= part.padding_share <= 1.0
    assert part.padding_share * part.padded_tokens == pytest.approx(part.padded_tokens - part.tokens)


def test_rates_of_no_time_and_no_tokens_are_zero():
    assert Figures().padding_share == 0.0
    assert Figures(rows=3).rows_per_second == 0.0
    assert Figures(rows=3, seconds=2.0).rows_per_second == 1.5


@given(part=figures())
def test_figures_equal_what_their_json_gives(part):
    assert Figures.model_validate_json(part.model_dump_json()) == part
