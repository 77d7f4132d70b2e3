"""Layers laid out for the CPU give what the plain ones give, however they are asked."""

import pytest
import torch
from torch import nn

from pipeline_core.meeting.prepacked import fast_addition, fast_linear, fast_linears, fast_turned_linears


class _Other(nn.Linear):
    """A layer that has weights, and whose forward pass is its own, as quantized ones have."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(inputs)


def _layers(kind: type[nn.Linear], dtype: torch.dtype = torch.float32) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [kind(24, 16, bias=False, dtype=dtype), kind(24, 40, dtype=dtype)]


@pytest.fixture(params=[nn.Linear, _Other])
def layers(request: pytest.FixtureRequest) -> list[nn.Linear]:
    return _layers(request.param)


INPUTS = torch.randn(3, 5, 24, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_layers_over_the_same_inputs_give_what_each_gives(layers: list[nn.Linear]) -> None:
    together = fast_linears(layers, rows=15)(INPUTS)
    torch.testing.assert_close(list(together), [layer(INPUTS) for layer in layers])


@torch.inference_mode()
def test_turned_layers_give_what_each_gives_turned_and_in_one_piece(layers: list[nn.Linear]) -> None:
    turned = fast_turned_linears(layers)(INPUTS)
    torch.testing.assert_close(list(turned), [layer(INPUTS).transpose(1, 2) for layer in layers])
    assert all(each.is_contiguous() for each in turned)


@torch.inference_mode()
def test_layers_of_bfloat16_give_what_each_gives_whatever_the_cpu_has_for_it() -> None:
    layers, inputs = _layers(nn.Linear, torch.bfloat16), INPUTS.bfloat16()
    wanted = [layer(inputs) for layer in layers]
    turned = [each.transpose(1, 2) for each in fast_turned_linears(layers)(inputs)]
    for found in (
        list(fast_linears(layers, rows=15)(inputs)),
        turned,
        [fast_linear(each, 15)(inputs) for each in layers],
    ):
        torch.testing.assert_close(found, wanted, rtol=2e-2, atol=2e-2)


@torch.inference_mode()
def test_one_other_layer_among_them_has_its_own_forward_pass() -> None:
    mixed = [_layers(nn.Linear)[0], _layers(_Other)[1]]
    torch.testing.assert_close(list(fast_linears(mixed, rows=15)(INPUTS)), [layer(INPUTS) for layer in mixed])


@torch.inference_mode()
def test_an_activation_and_a_sum_are_those_of_the_plain_layer(layers: list[nn.Linear]) -> None:
    others = torch.ones(3, 5, 40)
    for activation in (nn.GELU(), nn.ReLU()):
        activated = fast_linear(layers[1], 15, activation)(INPUTS)
        torch.testing.assert_close(activated, activation(layers[1](INPUTS)))
    torch.testing.assert_close(fast_addition(layers[1], 15)(INPUTS, others), others + layers[1](INPUTS))
