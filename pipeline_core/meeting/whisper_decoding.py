"""Write Whisper's text for a batch of encoded chunks, greedily or by chance at a temperature.

A row that has ended, or that repeats itself without end, leaves the batch at once. What a row writes
does not depend on the rows beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipeline_core.device_threads import check_wanted
from pipeline_core.meeting.repetition import find_repetition
from pipeline_core.meeting.whisper_network import Heard, WhisperNetwork
from pipeline_core.meeting.whisper_vocabulary import WhisperVocabulary

_LOOKED_AT_EVERY = 8
_ENDLESS_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Decoded:
    """One row's text.

    Attributes:
        tokens: What was written, without the prompt and the end.
        log_probabilities: Of each token, and of the end where it was reached.
        no_speech: How likely it is that nobody talks, 0 to 1.
        ended: Whether the end was reached; otherwise the row was stopped, for its length or because it repeated itself.
    """

    tokens: list[int]
    log_probabilities: list[float]
    no_speech: float
    ended: bool

    @property
    def mean_log_probability(self) -> float:
        """Mean over all that was written."""
        return sum(self.log_probabilities) / max(1, len(self.log_probabilities))


def decode(
    network: WhisperNetwork,
    heard: Heard,
    prompts: Sequence[Sequence[int]],
    vocabulary: WhisperVocabulary,
    temperature: float = 0.0,
    seeds: Sequence[int] = (),
) -> list[Decoded]:
    """Write each row's text.

    Args:
        network: What writes.
        heard: The chunks.
        prompts: Tokens that each row's text starts with, as many a row.
        vocabulary: The model's special tokens.
        temperature: 0 takes the likeliest token; above it, one is drawn.
        seeds: One a row, for what is drawn.

    Returns:
        One text a row, in order.

    Raises:
        WorkStoppedError: The run that wanted it was interrupted.
    """
    longest = network.config.max_target_positions
    writers = [_Row(torch.Generator().manual_seed(seeds[row]) if seeds else None) for row in range(heard.rows)]
    alive = heard.order
    decoding = network.decoding(heard, longest)
    hidden = decoding.read(torch.tensor([list(prompts[row]) for row in alive], device=network.device))
    chances = network.logits(hidden[:, 0]).softmax(-1)[:, vocabulary.no_speech].tolist()
    no_speech = dict(zip(alive, chances, strict=True))
    suppressed = torch.tensor(vocabulary.suppressed, dtype=torch.long, device=network.device)
    suppressed_first = torch.tensor(vocabulary.suppressed_first, dtype=torch.long, device=network.device)
    while True:
        check_wanted()
        logits = network.logits(hidden[:, -1]).index_fill(1, suppressed, -torch.inf)
        if decoding.position == len(prompts[0]):
            logits.index_fill_(1, suppressed_first, -torch.inf)
        chosen = _choose(logits, temperature, [writers[row] for row in alive])
        likely = (logits.gather(1, chosen[:, None])[:, 0] - logits.logsumexp(-1)).tolist()
        tokens = chosen.tolist()
        full = decoding.position + 1 >= longest
        for place in reversed(range(len(alive))):
            writer = writers[alive[place]]
            writer.write(tokens[place], likely[place], vocabulary.end)
            if writer.ended or full or writer.goes_round():
                decoding.drop(place)
                alive[place], chosen[place] = alive[-1], chosen[len(alive) - 1]
                alive.pop()
        if not alive:
            return [writer.decoded(no_speech[row]) for row, writer in enumerate(writers)]
        hidden = decoding.read(chosen[: len(alive), None])


class _Row:
    """What one row has written."""

    def __init__(self, generator: torch.Generator | None) -> None:
        self.generator = generator
        self.ended = False
        self._tokens: list[int] = []
        self._log_probabilities: list[float] = []

    def write(self, token: int, log_probability: float, end: int) -> None:
        self._log_probabilities.append(log_probability)
        self.ended = token == end
        if not self.ended:
            self._tokens.append(token)

    def goes_round(self) -> bool:
        """Whether it has done nothing but repeat itself for a while."""
        written = len(self._tokens)
        if written < _ENDLESS_TOKENS or written % _LOOKED_AT_EVERY:
            return False
        found = find_repetition(self._tokens)
        return found is not None and found.tokens >= _ENDLESS_TOKENS and found.start + found.tokens >= written - 1

    def decoded(self, no_speech: float) -> Decoded:
        return Decoded(self._tokens, self._log_probabilities, no_speech, self.ended)


def _choose(logits: torch.Tensor, temperature: float, writers: Sequence[_Row]) -> torch.Tensor:
    """``(rows,)`` tokens: the likeliest, or those drawn by each row's own generator."""
    if not temperature:
        return logits.argmax(-1)
    chances = (logits / temperature).softmax(-1).cpu()
    drawn = [
        torch.multinomial(row, 1, generator=writer.generator) for row, writer in zip(chances, writers, strict=True)
    ]
    return torch.cat(drawn).to(logits.device)
