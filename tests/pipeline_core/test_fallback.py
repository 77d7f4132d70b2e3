"""What is not believed is decoded again; what repeats itself is seen."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_core.meeting.fallback import TEMPERATURES, Verdict, believable, judge, with_fallback
from pipeline_core.meeting.repetition import Repetition, compression_ratio, find_repetition
from pipeline_core.meeting.whisper_decoding import Decoded

NATURAL = list(range(40))
LOOP = [7, 8, 9] + [1, 2] * 30


def decoded(tokens: list[int], chance: float = -0.3, no_speech: float = 0.0, ended: bool = True) -> Decoded:
    return Decoded(tokens, [chance] * (len(tokens) + ended), no_speech, ended)


def text_of(given_: Decoded) -> str:
    letters = random.Random(1)
    return " ".join(f"{token}{letters.randint(0, 10**6)}" for token in given_.tokens)


@given(
    st.lists(st.integers(0, 50), max_size=20), st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(4, 12)
)
def test_a_run_of_the_same_tokens_is_found(before: list[int], unit: list[int], times: int) -> None:
    tokens = [100 + token for token in before] + unit * times
    found = find_repetition(tokens)
    if len(unit) * times >= 16:
        assert found is not None
        run = tokens[found.start : found.start + found.tokens]
        assert found.tokens >= len(unit) * times
        assert all(left == right for left, right in zip(run, run[found.period :], strict=False))
    else:
        assert found is None


@pytest.mark.parametrize("tokens", [[], [1], [1, 1, 1, 1, 1], NATURAL, [1, 2, 3] * 3])
def test_what_people_say_twice_or_thrice_is_no_loop(tokens: list[int]) -> None:
    assert find_repetition(tokens) is None


def test_text_that_repeats_compresses_too_well() -> None:
    assert compression_ratio("yeah, " * 60) > 2.4
    assert compression_ratio("We have two objects, and you say which one is read first.") < 2.4
    assert compression_ratio("") == 0


@pytest.mark.parametrize(
    ("given_", "verdict"),
    [
        (decoded(NATURAL), Verdict.GOOD),
        (decoded([]), Verdict.GOOD),
        (decoded(LOOP), Verdict.BAD),
        (decoded(NATURAL, chance=-1.5), Verdict.BAD),
        (decoded(NATURAL, ended=False), Verdict.BAD),
        (decoded(NATURAL, chance=-1.5, no_speech=0.9), Verdict.SILENT),
        (decoded(NATURAL, no_speech=0.9), Verdict.GOOD),
    ],
)
def test_a_text_is_judged_by_its_chances_its_end_and_its_repetition(given_: Decoded, verdict: Verdict) -> None:
    assert judge(given_, text_of(given_)) is verdict


def test_only_bad_rows_are_decoded_again_until_each_is_good() -> None:
    asked: list[tuple[list[int], float]] = []

    def redo(rows: list[int], temperature: float) -> list[Decoded]:
        asked.append((list(rows), temperature))
        return [decoded(NATURAL) if temperature >= (0.4 if row == 1 else 0.8) else decoded(LOOP) for row in rows]

    settled = with_fallback([decoded(NATURAL), decoded(LOOP), decoded(LOOP)], text_of, redo)
    assert asked == [([1, 2], 0.2), ([1, 2], 0.4), ([2], 0.6), ([2], 0.8)]
    assert all(verdict is Verdict.GOOD for _, verdict in settled)


def test_of_texts_that_are_all_bad_the_one_without_a_loop_is_kept_and_stays_bad() -> None:
    def redo(rows: list[int], temperature: float) -> list[Decoded]:
        return [decoded(NATURAL, chance=-1.0 - temperature) for _ in rows]

    ((kept, verdict),) = with_fallback([decoded(LOOP)], text_of, redo)
    assert verdict is Verdict.BAD
    assert kept.tokens == NATURAL
    assert kept.mean_log_probability == pytest.approx(-1.0 - TEMPERATURES[0])


def test_of_a_loop_only_the_first_round_is_shown() -> None:
    assert find_repetition(LOOP) == Repetition(start=3, period=2, tokens=60)
    assert LOOP[: believable(decoded(LOOP))] == [7, 8, 9, 1, 2]
    assert believable(decoded(NATURAL)) == len(NATURAL)
