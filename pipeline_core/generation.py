"""How a batch job generates: greedily unless asked, from a seed for each record, and no further than its end."""

import copy
import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from pipeline_core.spec import SAMPLING, PipelineSpec

# With these a generation has outputs, or a course, that only a batch of one has.
_ALONE = frozenset(
    {
        "assistant_model",
        "dola_layers",
        "output_attentions",
        "output_hidden_states",
        "output_logits",
        "output_scores",
        "prompt_lookup_num_tokens",
        "return_dict_in_generate",
    }
)
# These read the tokens before the next one, padding included, or count it in.
_OF_THE_PROMPT = {"min_length": 0, "no_repeat_ngram_size": 0, "repetition_penalty": 1.0}
_OF_THE_ENCODER = {"encoder_no_repeat_ngram_size": 0, "encoder_repetition_penalty": 1.0}
_UNKNOWN_LENGTH_TOKENS = 256

_numpy_lock = threading.Lock()


class Generation:
    """How a pipeline generates under a spec.

    Attributes:
        pipeline: The pipeline, with greedy decoding as its default unless the spec asks for sampling. Speech and
            music keep their model's own way, for which greedy decoding makes noise.
        samples: Whether what comes out is drawn at random, and so wants a seed.
        alone: Whether each record must be run by itself.
    """

    def __init__(self, pipeline: Any, spec: PipelineSpec, task: str) -> None:
        nested = spec.parameters.get("generate_kwargs") or {}
        asked = {**spec.parameters, **nested}
        if not SAMPLING & asked.keys() and task != "text-to-audio":
            pipeline = copy.copy(pipeline)
            pipeline._generate_kwargs = {**pipeline._generate_kwargs, "do_sample": False}
        self.pipeline = pipeline
        settings = pipeline._get_set_generation_params(pipeline._prepare_generate_kwargs(dict(nested)))
        self._settings = settings
        # Whisper samples wherever it falls back to a temperature above zero.
        falls_back = hasattr(pipeline.model, "generate_with_fallback") and _any_above_zero(settings.get("temperature"))
        self.samples = bool(settings.get("do_sample")) or falls_back
        self.alone = self.samples or bool(_ALONE & asked.keys())
        self._eos = _ids(settings.get("eos_token_id"))
        pad = settings.get("pad_token_id")
        self._pad = pad if pad is not None else next(iter(self._eos), None)
        self._stop_strings = settings.get("stop_strings")
        # Whisper's own generate leaves out the token that ended a sequence.
        self._keeps_end = not hasattr(pipeline.model, "generate_with_fallback")

    @property
    def decodes_only(self) -> bool:
        """Whether the model writes on from its prompt, so that padding belongs before it."""
        return not self.pipeline.model.config.is_encoder_decoder

    @property
    def bears_padding(self) -> bool:
        """Whether prompts may be padded, as far as the settings go: none of them takes padding for text."""
        read = dict(_OF_THE_ENCODER)
        if self.decodes_only:
            if self._settings.get("max_new_tokens") is None:
                return False
            read |= _OF_THE_PROMPT
        return all(self._settings.get(name) in (None, neutral) for name, neutral in read.items())

    @property
    def pad_token(self) -> int:
        """What fills up a prompt; the model sees none of it."""
        return self._pad if self._pad is not None else 0

    def new_tokens(self, prompt_tokens: int) -> int:
        """Tokens that are generated at most after a prompt of this length."""
        most = self._settings.get("max_new_tokens")
        if most is not None:
            return int(most)
        whole = self._settings.get("max_length")
        if whole is None:
            return _UNKNOWN_LENGTH_TOKENS
        return max(1, int(whole) - (prompt_tokens if self.decodes_only else 0))

    def trimmed(self, sequences: torch.Tensor, prompt_tokens: int) -> torch.Tensor:
        """``(..., tokens)`` ids of one record, without what a batch adds behind its longest sequence's end."""
        if self._pad is None:
            return sequences
        rows = sequences.reshape(-1, sequences.shape[-1])
        longest = max((self._end(row, prompt_tokens) for row in rows), default=0)
        return sequences[..., :longest]

    def first_logits(self, inputs: Any) -> torch.Tensor:
        """``(rows, 2, vocabulary)`` logits of the first two tokens, greedily: what padding must not change."""
        given = {name: value for name, value in inputs.items() if name in ("input_ids", "attention_mask")}
        given = self.pipeline.ensure_tensor_on_device(**given)
        with torch.inference_mode():
            made = self.pipeline.model.generate(
                **given,
                max_new_tokens=2,
                min_new_tokens=2,
                do_sample=False,
                num_beams=1,
                num_return_sequences=1,
                pad_token_id=self.pad_token,
                output_logits=True,
                return_dict_in_generate=True,
            )
        return torch.stack(made.logits, 1).cpu()

    def _end(self, row: torch.Tensor, prompt_tokens: int) -> int:
        written = row[prompt_tokens:].ne(self._pad or 0).nonzero()
        end = prompt_tokens + (int(written[-1]) + 1 if len(written) else 0)
        if end == len(row) or self._pad not in self._eos or not self._keeps_end:
            return end
        if (end > prompt_tokens and int(row[end - 1]) in self._eos) or self._stopped(row[:end]):
            return end
        return end + 1  # the token that ended it looks like padding

    def _stopped(self, row: torch.Tensor) -> bool:
        if not self._stop_strings:
            return False
        text = self.pipeline.tokenizer.decode(row)
        strings = [self._stop_strings] if isinstance(self._stop_strings, str) else self._stop_strings
        return any(string in text for string in strings)


def record_seed(seed: int, record_id: str, chunk: int = 0) -> int:
    """The seed under which a record is sampled: the same in every run, batch and shard.

    Args:
        seed: ``PipelineSpec.seed``.
        record_id: The record's id.
        chunk: The number of the chunk in the record; each draws from a seed of its own.
    """
    named = f"{seed}\0{record_id}" + (f"\0{chunk}" if chunk else "")
    return int.from_bytes(hashlib.blake2b(named.encode(), digest_size=8).digest(), "big") >> 1


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw random numbers from ``seed`` on the CPU and ``device``, and leave the generators as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def numpy_seeded(seed: int) -> Iterator[None]:
    """Draw numpy's global random numbers from ``seed``, one thread at a time, and leave its state as it was."""
    with _numpy_lock:
        before = np.random.get_state()
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)


def _any_above_zero(temperature: Any) -> bool:
    given = temperature if isinstance(temperature, list | tuple) else [temperature]
    return any(value is not None and value > 0 for value in given)


def _ids(given: Any) -> Sequence[int]:
    if given is None:
        return []
    return [int(token) for token in (given if isinstance(given, list | tuple) else [given])]
