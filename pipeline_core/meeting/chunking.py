"""Cut what is said into chunks that a model takes: at pauses, filled up, without the silence between."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline_core.meeting.voice_activity import FRAME_S, SAMPLE_RATE, Audio, Span, VoiceActivity

_KEPT_PAUSE_S = 2.0
_QUIET_FRAMES = 5


@dataclass(frozen=True, slots=True)
class Chunk:
    """One input of the model.

    Attributes:
        audio: ``(samples,)`` float32, 16 kHz mono: the pieces, one after another.
        pieces: Where in the recording the audio comes from, in order.
        speech: From the first to the last that is said, in seconds of the chunk.
    """

    audio: Audio
    pieces: tuple[Span, ...]
    speech: Span

    @property
    def start_s(self) -> float:
        """Where it starts in the recording."""
        return self.pieces[0].start_s

    @property
    def end_s(self) -> float:
        """Where it ends in the recording."""
        return self.pieces[-1].end_s

    @property
    def duration_s(self) -> float:
        """Seconds of audio."""
        return len(self.audio) / SAMPLE_RATE

    def in_recording(self, start_s: float, end_s: float, surely_s: float) -> Span:
        """Where in the recording a stretch of the chunk is.

        Args:
            start_s: Where it starts in the chunk.
            end_s: Where it ends in the chunk.
            surely_s: A moment of it; of a stretch that runs over a cut, what lies in this moment's piece is taken.
        """
        begin = 0.0
        for piece in self.pieces:
            if surely_s < begin + piece.duration_s or piece is self.pieces[-1]:
                break
            begin += piece.duration_s
        shift = piece.start_s - begin
        start, end = (min(max(moment + shift, piece.start_s), piece.end_s) for moment in (start_s, end_s))
        return Span(start, end)


def cut_chunks(audio: Audio, activity: VoiceActivity, max_chunk_s: float, offset_s: float = 0.0) -> list[Chunk]:
    """The speech of ``audio`` in chunks of at most ``max_chunk_s``.

    A chunk ends in a pause; only speech that goes on for longer without one is cut where it is least
    likely to be speech, or else quietest. Pauses of up to two seconds stay as they are, at the beginning and the end
    of the audio too; longer ones are left out.

    Args:
        audio: ``(samples,)`` float32, 16 kHz mono.
        activity: What ``detect_speech`` heard in it.
        max_chunk_s: Seconds a chunk, at most.
        offset_s: Where in the recording the audio starts.
    """
    spans: list[Span] = []
    for span in activity.speech:
        spans += _cut_long(span, audio, activity.probabilities, max_chunk_s)
    packed = list(_pack(spans, max_chunk_s))
    said = [Span(pieces[0].start_s, pieces[-1].end_s) for pieces in packed]
    if packed:
        _widen(packed, len(audio) / SAMPLE_RATE, max_chunk_s)
    return [_chunk(audio, pieces, heard, offset_s) for pieces, heard in zip(packed, said, strict=True)]


def whole_chunk(audio: Audio, offset_s: float = 0.0) -> Chunk:
    """All of ``audio`` as one chunk."""
    length_s = len(audio) / SAMPLE_RATE
    return Chunk(audio, (Span(offset_s, offset_s + length_s),), Span(0.0, length_s))


def halve(chunk: Chunk) -> list[Chunk]:
    """The chunk in two, cut between two of its pieces or else where its middle third is quietest."""
    ends = np.cumsum([piece.duration_s for piece in chunk.pieces])
    middle = chunk.duration_s / 2
    nearest = float(min(ends, key=lambda end: abs(end - middle)))
    if abs(nearest - middle) > chunk.duration_s / 6:
        frames = _loudness(chunk.audio)
        first = len(frames) // 3
        nearest = _quietest(frames, first, len(frames) - first) * FRAME_S
    cut = int(nearest * SAMPLE_RATE)
    left, right = _split_pieces(chunk.pieces, cut / SAMPLE_RATE)
    halves = ((chunk.audio[:cut], left), (chunk.audio[cut:], right))
    made, begin_s = [], 0.0
    for audio, pieces in halves:
        length_s = len(audio) / SAMPLE_RATE
        if pieces and length_s:
            start_s, end_s = (min(max(moment - begin_s, 0.0), length_s) for moment in chunk.speech)
            heard = Span(start_s, end_s) if start_s < end_s else Span(0.0, length_s)
            made.append(Chunk(audio, tuple(pieces), heard))
        begin_s += length_s
    return made


def quietest_moment(audio: Audio, activity: VoiceActivity, window: Span) -> float:
    """The middle of the longest pause within ``window``; where there is none, when it is least like speech."""
    borders = [window.start_s]
    for span in activity.speech:
        if span.end_s > window.start_s and span.start_s < window.end_s:
            borders += [max(window.start_s, span.start_s), min(window.end_s, span.end_s)]
    borders.append(window.end_s)
    pauses = [Span(*borders[index : index + 2]) for index in range(0, len(borders), 2)]
    longest = max(pauses, key=lambda pause: pause.duration_s)
    if longest.duration_s > 0:
        return (longest.start_s + longest.end_s) / 2
    return _best_cut(audio, activity.probabilities, window)


def _cut_long(span: Span, audio: Audio, probabilities: NDArray[np.float32], max_chunk_s: float) -> Iterable[Span]:
    while span.duration_s > max_chunk_s:
        cut = _best_cut(audio, probabilities, Span(span.start_s + max_chunk_s / 2, span.start_s + max_chunk_s))
        yield Span(span.start_s, cut)
        span = Span(cut, span.end_s)
    yield span


def _best_cut(audio: Audio, probabilities: NDArray[np.float32], window: Span) -> float:
    loudness = _loudness(audio[: len(probabilities) * int(FRAME_S * SAMPLE_RATE)])
    frames = len(loudness)
    unlike = probabilities[:frames] + loudness / max(float(loudness.max(initial=0.0)), 1e-9)
    first, last = int(window.start_s / FRAME_S) + 1, int(window.end_s / FRAME_S) - 1
    return min(_quietest(unlike, first, last) * FRAME_S, window.end_s)


def _loudness(audio: Audio) -> NDArray[np.float32]:
    """Root mean square of each frame, ``(frames,)``; the last one may be shorter and is left out."""
    size = int(FRAME_S * SAMPLE_RATE)
    frames = audio[: len(audio) // size * size].reshape(-1, size)
    loudness: NDArray[np.float32] = np.sqrt(np.mean(frames**2, axis=1))
    return loudness


def _quietest(frames: NDArray[np.float32], first: int, last: int) -> float:
    """The middle, in frames, of the lowest stretch of a sixth of a second between two frames."""
    window = frames[max(0, first) : max(first + 1, last)]
    size = min(_QUIET_FRAMES, len(window))
    if not size:
        return float(first)
    means = np.convolve(window, np.ones(size) / size, mode="valid")
    return max(0, first) + float(np.argmin(means)) + size / 2


def _pack(spans: Sequence[Span], max_chunk_s: float) -> Iterable[list[Span]]:
    """Fill chunks with one span after another; spans a short pause apart become one."""
    pieces: list[Span] = []
    held_s = 0.0
    for span in spans:
        joins = bool(pieces) and span.start_s - pieces[-1].end_s <= _KEPT_PAUSE_S
        added_s = span.end_s - pieces[-1].end_s if joins else span.duration_s
        if pieces and held_s + added_s > max_chunk_s:
            yield pieces
            pieces, held_s, joins, added_s = [], 0.0, False, span.duration_s
        if joins:
            pieces[-1] = Span(pieces[-1].start_s, span.end_s)
        else:
            pieces.append(span)
        held_s += added_s
    if pieces:
        yield pieces


def _widen(packed: list[list[Span]], duration_s: float, max_chunk_s: float) -> None:
    """Keep a short pause before the first chunk and after the last one: what is heard stays whole if it can."""
    first = packed[0]
    room_s = max_chunk_s - sum(piece.duration_s for piece in first)
    if first[0].start_s <= min(_KEPT_PAUSE_S, room_s):
        first[0] = Span(0.0, first[0].end_s)
    last = packed[-1]
    room_s = max_chunk_s - sum(piece.duration_s for piece in last)
    if duration_s - last[-1].end_s <= min(_KEPT_PAUSE_S, room_s):
        last[-1] = Span(last[-1].start_s, duration_s)


def _chunk(audio: Audio, pieces: Sequence[Span], heard: Span, offset_s: float) -> Chunk:
    kept = [audio[round(piece.start_s * SAMPLE_RATE) : round(piece.end_s * SAMPLE_RATE)] for piece in pieces]
    joined = kept[0] if len(kept) == 1 else np.concatenate(kept)
    length_s = len(joined) / SAMPLE_RATE
    speech = Span(heard.start_s - pieces[0].start_s, max(0.0, length_s - (pieces[-1].end_s - heard.end_s)))
    return Chunk(joined, tuple(piece.shifted(offset_s) for piece in pieces), speech)


def _split_pieces(pieces: Sequence[Span], at_s: float) -> tuple[list[Span], list[Span]]:
    left: list[Span] = []
    right: list[Span] = []
    begin = 0.0
    for piece in pieces:
        cut = piece.start_s + min(max(at_s - begin, 0.0), piece.duration_s)
        if cut > piece.start_s:
            left.append(Span(piece.start_s, cut))
        if cut < piece.end_s:
            right.append(Span(cut, piece.end_s))
        begin += piece.duration_s
    return left, right
