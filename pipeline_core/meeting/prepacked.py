"""Linear layers with weights laid out once for oneDNN: up to twice as fast on a CPU, and the same to 1e-6."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

Linear = Callable[[torch.Tensor], torch.Tensor]
"""Maps ``(..., features in)`` to ``(..., features out)``."""


def fast_linear(layer: nn.Module, rows: int, activation: nn.Module | None = None) -> Linear:
    """The layer's forward pass, and ``activation`` of it, prepacked where it is a plain linear layer on a CPU.

    Args:
        layer: Any layer; one that is quantized, or on another device, is called as it is.
        rows: About how many rows it is given at a time; the layout suits that many best.
        activation: What its results go through; GELU costs no pass of its own where the layer is prepacked.
    """
    if type(layer) is not nn.Linear or not _can_prepack(layer.weight):
        return layer if activation is None else lambda inputs: activation(layer(inputs))
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    if activation is None:
        return _prepacked(weight, bias, rows)
    if _is_gelu(activation):
        return _prepacked(weight, bias, rows, "gelu")
    plain = _prepacked(weight, bias, rows)
    return lambda inputs: activation(plain(inputs))


def fast_linears(layers: Sequence[nn.Module], rows: int) -> Callable[[torch.Tensor], Sequence[torch.Tensor]]:
    """Each layer's forward pass over the same inputs; one multiplication where all of them can be prepacked."""
    plain = _plain(layers)
    if plain is None:
        separate = [fast_linear(layer, rows) for layer in layers]
        return lambda inputs: [forward(inputs) for forward in separate]
    together = _prepacked(*_joined(plain), rows)
    widths = [layer.out_features for layer in plain]
    return lambda inputs: torch.split(together(inputs), widths, dim=-1)


def fast_turned_linears(layers: Sequence[nn.Module]) -> Callable[[torch.Tensor], Sequence[torch.Tensor]]:
    """Each layer's forward pass over the same ``(rows, n, features in)``, turned: ``(rows, features out, n)``."""
    plain = _plain(layers)
    if plain is None:
        return lambda inputs: [layer(inputs).transpose(1, 2).contiguous() for layer in layers]
    weight, bias = _joined(plain)
    widths = [layer.out_features for layer in plain]

    def forward(inputs: torch.Tensor) -> list[torch.Tensor]:
        # The inputs stand where weights do otherwise: what comes out is turned without a pass for it.
        apply = torch.ops.mkldnn._linear_pointwise
        turned = [apply(weight, row, None, "none", [], "").add_(bias[:, None]) for row in inputs]
        return [torch.stack(rows) for rows in zip(*(torch.split(row, widths) for row in turned), strict=True)]

    return forward


def fast_addition(layer: nn.Module, rows: int) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Adds the layer's forward pass over the first argument to the second, as ``fast_linear`` computes it."""
    if type(layer) is not nn.Linear or not _can_prepack(layer.weight):
        return lambda inputs, others: others + layer(inputs)
    bias = None if layer.bias is None else layer.bias.detach()
    packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows)
    apply = torch.ops.mkldnn._linear_pointwise.binary
    return lambda inputs, others: apply(inputs, others, packed, bias, "add")


def fast_projection(weight: torch.Tensor, rows: int) -> Linear:
    """Multiplication by the transpose of ``weight``, ``(features out, features in)``, prepacked on a CPU."""
    weight = weight.detach()
    if not _can_prepack(weight):
        return lambda inputs: nn.functional.linear(inputs, weight)
    return _prepacked(weight, None, rows)


def _can_prepack(weight: torch.Tensor) -> bool:
    # The operators are not part of torch's public API: without them the plain layer does.
    operators = torch.ops.mkldnn
    return (
        weight.device.type == "cpu"
        and (weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and _multiplies_bfloat16()))
        and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        and hasattr(operators, "_reorder_linear_weight")
        and hasattr(operators, "_linear_pointwise")
    )


def _multiplies_bfloat16() -> bool:
    """Whether oneDNN has kernels of it for this CPU."""
    operators = torch.ops.mkldnn
    return hasattr(operators, "_is_mkldnn_bf16_supported") and bool(operators._is_mkldnn_bf16_supported())


def _plain(layers: Sequence[nn.Module]) -> list[nn.Linear] | None:
    """The layers, if each can be prepacked."""
    plain = [layer for layer in layers if isinstance(layer, nn.Linear)]
    return plain if all(type(layer) is nn.Linear and _can_prepack(layer.weight) for layer in layers) else None


def _joined(layers: Sequence[nn.Linear]) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights of linear layers, one below the other, and their biases."""
    biases = [
        layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias.detach() for layer in layers
    ]
    return torch.cat([layer.weight.detach() for layer in layers]), torch.cat(biases)


def _is_gelu(activation: nn.Module) -> bool:
    """Whether it is GELU itself, and no approximation."""
    points = torch.linspace(-4, 4, 17)
    return bool(torch.equal(activation(points), nn.functional.gelu(points)))


def _prepacked(weight: torch.Tensor, bias: torch.Tensor | None, rows: int, activation: str = "none") -> Linear:
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    apply = torch.ops.mkldnn._linear_pointwise
    return lambda inputs: apply(inputs, packed, bias, activation, [], "none" if activation == "gelu" else "")
