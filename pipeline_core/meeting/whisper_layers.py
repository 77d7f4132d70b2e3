"""Whisper's layers: the arithmetic of transformers' own, on weights that are laid out for what a call asks of them."""

from typing import Any, NamedTuple

import torch
from torch import nn

from pipeline_core.meeting.prepacked import fast_addition, fast_linear, fast_linears, fast_turned_linears

_ENCODER_ROWS = 1500
DECODER_ROWS = 8
"""About how many rows ask a layer of the decoder, or the vocabulary, at a time."""


class Memory(NamedTuple):
    """One layer's keys and values, ``(rows, heads, tokens, width of a head)`` each.

    Those of frames are turned, ``(rows, heads, width of a head, frames)``: a single token reads them faster so.
    """

    keys: torch.Tensor
    values: torch.Tensor


class EncoderLayer:
    """One of transformers' encoder layers: ``(rows, frames, width)`` states to states of that shape."""

    def __init__(self, layer: Any) -> None:
        self._norm = layer.self_attn_layer_norm
        self._attention = _SelfAttention(layer.self_attn, _ENCODER_ROWS)
        self._feed_forward = _FeedForward(layer, _ENCODER_ROWS)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        attention = self._attention
        queries, keys, values = attention.project(self._norm(states))
        seen = nn.functional.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        states = self._feed_forward(attention.merged(seen, states))
        if states.dtype == torch.float16:  # as transformers does: what overflows would spread as NaN
            most = torch.finfo(torch.float16).max - 1000
            states = states.clamp(-most, most)
        return states


class DecoderLayer:
    """One of transformers' decoder layers, which reads tokens after those in its cache.

    Args:
        layer: transformers' own.
        alignment_heads: Its heads that follow the audio.
    """

    def __init__(self, layer: Any, alignment_heads: list[int]) -> None:
        self._norm, self._audio_norm = layer.self_attn_layer_norm, layer.encoder_attn_layer_norm
        self._attention = _SelfAttention(layer.self_attn, DECODER_ROWS)
        self._audio = _AudioAttention(layer.encoder_attn, DECODER_ROWS)
        self._feed_forward = _FeedForward(layer, DECODER_ROWS)
        self._alignment_heads = alignment_heads

    def hear(self, states: torch.Tensor) -> Memory:
        """The keys and values of ``(rows, frames, width)`` encoded frames, turned."""
        return self._audio.hear(states)

    def __call__(
        self,
        hidden: torch.Tensor,
        position: int,
        audio: Memory,
        cache: Memory,
        rows: int,
        looked: list[torch.Tensor] | None,
    ) -> torch.Tensor:
        """What becomes of ``(rows, n, width)`` hidden states, in that shape.

        Args:
            hidden: Of the tokens at ``position`` and after.
            position: How many tokens the cache has of each row.
            audio: What ``hear`` gave for at least these rows.
            cache: Holds at least these rows; keys and values of these tokens are written into it.
            rows: How many there are.
            looked: Where the alignment heads look is added to it, ``(rows, heads, n, frames)`` float32.
        """
        stop = position + hidden.shape[1]
        queries, keys, values = self._attention.project(self._norm(hidden))
        cache.keys[:rows, :, position:stop], cache.values[:rows, :, position:stop] = keys, values
        keys, values = cache.keys[:rows, :, :stop], cache.values[:rows, :, :stop]
        seen = nn.functional.scaled_dot_product_attention(queries, keys, values, scale=1.0, is_causal=position == 0)
        hidden = self._attention.merged(seen, hidden)
        weights = self._audio.queries(self._audio_norm(hidden)) @ audio.keys[:rows]
        weights = torch.softmax(weights, dim=-1, dtype=torch.float32)
        if looked is not None and self._alignment_heads:
            looked.append(weights[:, self._alignment_heads])
        seen = weights.to(hidden.dtype) @ audio.values[:rows].transpose(2, 3)
        return self._feed_forward(self._audio.merged(seen, hidden))


class _Attention:
    """An attention's heads, and the projections of its queries and of what they find.

    Args:
        attention: transformers' own.
        rows: About how many tokens or frames ask at a time.
    """

    def __init__(self, attention: Any, rows: int) -> None:
        self._heads: int = attention.num_heads
        self._scaling: float = attention.scaling
        self._out = fast_addition(attention.out_proj, rows)

    def scaled(self, queries: torch.Tensor) -> torch.Tensor:
        """Projected queries, by head."""
        return self.split(queries * self._scaling)

    def split(self, states: torch.Tensor) -> torch.Tensor:
        """``(rows, n, width)`` to ``(rows, heads, n, width of a head)``."""
        return states.view(*states.shape[:-1], self._heads, -1).transpose(1, 2)

    def merged(self, states: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """What ``split`` undone and projected gives, added to ``others``."""
        return self._out(states.transpose(1, 2).flatten(2), others)


class _SelfAttention(_Attention):
    def __init__(self, attention: Any, rows: int) -> None:
        super().__init__(attention, rows)
        self._project = fast_linears([attention.q_proj, attention.k_proj, attention.v_proj], rows)

    def project(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Scaled queries, keys and values, by head."""
        queries, keys, values = self._project(states)
        return self.scaled(queries), self.split(keys), self.split(values)


class _AudioAttention(_Attention):
    def __init__(self, attention: Any, rows: int) -> None:
        super().__init__(attention, rows)
        self._query = fast_linear(attention.q_proj, rows)
        self._hear = fast_turned_linears([attention.k_proj, attention.v_proj])

    def queries(self, states: torch.Tensor) -> torch.Tensor:
        """Scaled queries, by head."""
        return self.scaled(self._query(states))

    def hear(self, states: torch.Tensor) -> Memory:
        """The keys and values of frames, turned."""
        rows, frames = states.shape[:2]
        return Memory(*(turned.view(rows, self._heads, -1, frames) for turned in self._hear(states)))


class _FeedForward:
    def __init__(self, layer: Any, rows: int) -> None:
        self._norm = layer.final_layer_norm
        self._in = fast_linear(layer.fc1, rows, layer.activation_fn)
        self._out = fast_addition(layer.fc2, rows)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        return self._out(self._in(self._norm(states)), states)
