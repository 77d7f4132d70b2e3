"""What batches have to show before they are trusted, and what is left of the trust when they fail."""

import torch

from pipeline_core.batch_layout import agree
from pipeline_core.batch_trust import BatchTrust, trust_of


def test_trust_falls_one_step_for_one_kind_of_batch_however_many_engines_saw_it_fail():
    trust = BatchTrust("pad")
    trust.lower("pad")
    trust.lower("pad")
    assert (trust.allows("pad"), trust.allows("shape")) == (False, True)
    trust.lower("shape")
    trust.lower("pad")
    assert (trust.allows("pad"), trust.allows("shape")) == (False, False)


def test_what_is_known_of_a_model_is_shared_by_its_uses_of_one_kind():
    model = torch.nn.Linear(1, 1)
    trust_of(model, "summarize", "pad").lower("pad")
    assert not trust_of(model, "summarize", "pad").allows("pad")
    assert trust_of(model, "translate", "pad").allows("pad")


def sequences(*tokens: int) -> dict[str, torch.Tensor]:
    return {"output_ids": torch.tensor([tokens])}


def test_generated_tokens_have_to_be_the_same_but_for_a_few_in_half_precision():
    alone = sequences(5, 6, 7, 8, 9, 10, 11, 12)
    late = sequences(5, 6, 7, 8, 9, 10, 11, 99)
    other = sequences(1, 2, 3, 4, 1, 2, 3, 4)
    assert agree(alone, sequences(*range(5, 13)))
    assert not agree(alone, late)
    assert agree(alone, late, exact_sequences=False)
    assert not agree(alone, other, exact_sequences=False)


def test_scores_may_differ_by_rounding_in_their_own_precision():
    scores = torch.linspace(-3, 3, 8)
    assert agree(scores, scores + 1e-6)
    assert not agree(scores, scores + 1e-2)
    assert agree(scores.bfloat16(), (scores + 1e-2).bfloat16())
    assert not agree(scores, scores[:4])
