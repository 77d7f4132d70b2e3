"""Windows: every chunk once, longest first, within the limits, never across groups."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline_core.batching import Window, padded_tokens
from pipeline_core.records import Chunk

lengths = st.lists(st.tuples(st.integers(1, 600), st.sampled_from("abc")), max_size=60)
limits = st.none() | st.integers(1, 2000)


def chunks_of(sizes):
    return [Chunk(record, 0, True, group, length) for record, (length, group) in enumerate(sizes)]


def batches_of(sizes, max_tokens=None, max_chunks=None):
    window = Window(chunks_of(sizes), lambda chunk: chunk.inputs)
    while window:
        yield window.take(max_tokens, max_chunks)


@given(sizes=lengths, max_tokens=limits, max_chunks=st.none() | st.integers(1, 20))
def test_every_chunk_is_in_exactly_one_batch(sizes, max_tokens, max_chunks):
    taken = [chunk for batch in batches_of(sizes, max_tokens, max_chunks) for chunk in batch]
    assert Counter(chunk.record for chunk in taken) == Counter(range(len(sizes)))


@given(sizes=lengths, max_tokens=limits, max_chunks=st.none() | st.integers(1, 20))
def test_a_batch_is_within_both_limits_or_a_single_chunk(sizes, max_tokens, max_chunks):
    for batch in batches_of(sizes, max_tokens, max_chunks):
        assert batch
        assert max_chunks is None or len(batch) <= max_chunks
        assert max_tokens is None or padded_tokens(batch) <= max_tokens or len(batch) == 1


@given(sizes=lengths, max_tokens=limits, max_chunks=st.none() | st.integers(1, 20))
def test_a_batch_is_of_one_group_and_each_group_is_given_out_longest_first(sizes, max_tokens, max_chunks):
    given_out: dict[str, list[int]] = {}
    for batch in batches_of(sizes, max_tokens, max_chunks):
        assert len({chunk.inputs for chunk in batch}) == 1
        given_out.setdefault(batch[0].inputs, []).extend(chunk.length for chunk in batch)
    for group in given_out.values():
        assert group == sorted(group, reverse=True)


@given(sizes=lengths, max_tokens=limits)
def test_the_very_first_chunk_is_the_longest_of_all(sizes, max_tokens):
    for batch in batches_of(sizes, max_tokens):
        assert batch[0].length == max(length for length, _ in sizes)
        break


@given(sizes=lengths, max_tokens=st.integers(1, 2000))
def test_a_batch_has_room_for_no_other_chunk_of_its_group(sizes, max_tokens):
    left = Counter(group for _, group in sizes)
    for batch in batches_of(sizes, max_tokens):
        left[batch[0].inputs] -= len(batch)
        full = (len(batch) + 1) * batch[0].length > max_tokens
        assert full or left[batch[0].inputs] == 0


def test_limits_may_change_from_batch_to_batch():
    window = Window(chunks_of([(10, "a")] * 10), lambda chunk: None)
    assert [len(window.take(*limit)) for limit in ((40, None), (None, 3), (5, None), (None, None))] == [4, 3, 1, 2]
    assert not window


def test_chunks_without_length_are_batched():
    assert [len(batch) for batch in batches_of([(0, "a")] * 3, max_tokens=2)] == [2, 1]


def test_padded_tokens_are_the_longest_times_the_number():
    assert padded_tokens(chunks_of([(3, "a"), (7, "a"), (5, "a")])) == 21
