"""Whisper's network for batches of chunks: encode once, then decode step by step in preallocated caches.

The arithmetic is that of transformers' Whisper, layer by layer, on the weights of its model. What
differs is what a step costs: weights are laid out for the CPU once, keys and values are written into
memory that was set aside before, and rows that have ended take no more part.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from pipeline_core.meeting.prepacked import fast_projection
from pipeline_core.meeting.whisper_layers import DECODER_ROWS, DecoderLayer, EncoderLayer, Memory

_THREADS_A_CHUNK = 2


class WhisperNetwork:
    """A transformers Whisper model, run with as little work as its answers need.

    Args:
        model: A ``WhisperForConditionalGeneration`` in evaluation mode.

    Attributes:
        config: The model's configuration.
        device: Where it runs.
        dtype: What it computes in.
    """

    def __init__(self, model: Any) -> None:
        self.config = model.config
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        encoder, decoder = model.model.encoder, model.model.decoder
        self._conv1, self._conv2 = encoder.conv1, encoder.conv2
        self._frame_positions = encoder.embed_positions.weight
        self._encoder_norm = encoder.layer_norm
        self._encoder_layers = [EncoderLayer(layer) for layer in encoder.layers]
        self._embed = decoder.embed_tokens
        self._token_positions = decoder.embed_positions.weight
        self._decoder_norm = decoder.layer_norm
        self._vocabulary = fast_projection(model.proj_out.weight, DECODER_ROWS)
        self.alignment_heads = _alignment_heads(model)
        self._decoder_layers = [
            DecoderLayer(layer, [head for at, head in self.alignment_heads if at == number])
            for number, layer in enumerate(decoder.layers)
        ]

    @property
    def cache_bytes(self) -> int:
        """Bytes that the keys and values of one chunk take while it is decoded."""
        positions = self.config.max_source_positions + self.config.max_target_positions
        return int(2 * positions * self.config.d_model * self.config.decoder_layers * self.dtype.itemsize)

    def encode(self, features: torch.Tensor) -> torch.Tensor:
        """``(rows, mel bins, 2 * frames)`` features to ``(rows, frames, width)`` states."""
        if self.device.type != "cpu":
            return self._encode(features)
        # Few enough at once that what goes from layer to layer stays in the cache.
        together = max(1, torch.get_num_threads() // _THREADS_A_CHUNK)
        return torch.cat([self._encode(some) for some in torch.split(features, together)])

    def _encode(self, features: torch.Tensor) -> torch.Tensor:
        states = nn.functional.gelu(self._conv1(features.to(self.device, self.dtype)))
        states = nn.functional.gelu(self._conv2(states)).permute(0, 2, 1) + self._frame_positions
        for layer in self._encoder_layers:
            states = layer(states)
        return self._encoder_norm(states)  # type: ignore[no-any-return]

    def hear(self, states: torch.Tensor) -> "Heard":
        """What the decoder makes of ``(rows, frames, width)`` states, once for all that is written of them."""
        return Heard([layer.hear(states) for layer in self._decoder_layers])

    def decoding(self, heard: "Heard", length: int) -> "Decoding":
        """Set out to decode all rows of ``heard`` into ``length`` tokens at most, the prompt's included."""
        return Decoding(self, heard, self._caches(heard, length))

    def attention(self, heard: "Heard", tokens: torch.Tensor) -> torch.Tensor:
        """Where the alignment heads look in the audio while a text is written.

        Args:
            heard: One chunk.
            tokens: ``(n,)``, the prompt and the text.

        Returns:
            ``(heads, n, frames)`` float32; row i is for what follows token i.
        """
        looked: list[torch.Tensor] = []
        self._read(tokens[None], 0, heard, self._caches(heard, len(tokens)), 1, looked)
        return torch.cat(looked, dim=1)[0].float()

    def _caches(self, heard: "Heard", length: int) -> list[Memory]:
        values = heard.layers[0].values
        rows, heads, width, _ = values.shape
        shape = (rows, heads, length, width)
        return [Memory(values.new_empty(shape), values.new_empty(shape)) for _ in self._decoder_layers]

    def _read(
        self,
        tokens: torch.Tensor,
        position: int,
        heard: "Heard",
        caches: list[Memory],
        rows: int,
        looked: list[torch.Tensor] | None,
    ) -> torch.Tensor:
        hidden = self._embed(tokens) + self._token_positions[position : position + tokens.shape[1]]
        for layer, audio, cache in zip(self._decoder_layers, heard.layers, caches, strict=True):
            hidden = layer(hidden, position, audio, cache, rows, looked)
        return self._decoder_norm(hidden)  # type: ignore[no-any-return]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """``(rows, width)`` hidden states to ``(rows, vocabulary)`` float32 logits."""
        return self._vocabulary(hidden).float()


class Heard:
    """Encoded chunks as the decoder's layers look at them; rows change places while they are decoded.

    Attributes:
        layers: Each layer's keys and values, by place.
    """

    def __init__(self, layers: list[Memory]) -> None:
        self.layers = layers
        self._places = list(range(self.rows))

    @property
    def rows(self) -> int:
        """How many chunks there are."""
        return len(self.layers[0].keys)

    @property
    def frames(self) -> int:
        """How many frames each has."""
        return self.layers[0].values.shape[3]

    @property
    def order(self) -> list[int]:
        """The rows, by place."""
        return sorted(range(self.rows), key=self._places.__getitem__)

    def take(self, rows: Sequence[int]) -> "Heard":
        """A copy of some of the rows, in this order."""
        places = [self._places[row] for row in rows]
        return Heard([Memory(keys[places], values[places]) for keys, values in self.layers])

    def view(self, row: int) -> "Heard":
        """One row, uncopied."""
        place = slice(self._places[row], self._places[row] + 1)
        return Heard([Memory(keys[place], values[place]) for keys, values in self.layers])

    def swap(self, place: int, other: int) -> None:
        """Let the rows at two places change theirs."""
        for memory in self.layers:
            for tensor in memory:
                tensor[[place, other]] = tensor[[other, place]]
        row, beside = self._places.index(place), self._places.index(other)
        self._places[row], self._places[beside] = other, place


class Decoding:
    """Rows in the course of being decoded; those that are alive are always the first ones.

    Attributes:
        rows: How many are alive.
        position: How many tokens each has read.
    """

    def __init__(self, network: WhisperNetwork, heard: Heard, caches: list[Memory]) -> None:
        self._network = network
        self._heard = heard
        self._caches = caches
        self.rows = heard.rows
        self.position = 0

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read ``(rows, n)`` more tokens, n > 1 only at the start, into ``(rows, n, width)`` hidden states."""
        hidden = self._network._read(tokens, self.position, self._heard, self._caches, self.rows, None)
        self.position += tokens.shape[1]
        return hidden

    def drop(self, place: int) -> None:
        """End the row at a place; the last one that is alive takes it."""
        self.rows -= 1
        if place != self.rows:
            self._heard.swap(place, self.rows)
            for memory in self._caches:
                for tensor in memory:
                    tensor[place, :, : self.position] = tensor[self.rows, :, : self.position]


def _alignment_heads(model: Any) -> list[tuple[int, int]]:
    """(layer, head) of the heads that follow the audio: the model's own list, else all of the upper half's."""
    named = getattr(model.generation_config, "alignment_heads", None)
    if named:
        return sorted((int(layer), int(head)) for layer, head in named)
    layers, heads = model.config.decoder_layers, model.config.decoder_attention_heads
    return [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]
