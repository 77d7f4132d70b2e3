"""Load weights in 8 or 4 bits through bitsandbytes, on GPUs and on the CPUs that its kernels take."""

import logging
from importlib.util import find_spec
from typing import Any

from pipeline_core.errors import LoadError, MissingPackageError
from pipeline_core.spec import QUANTIZATIONS, PipelineSpec


def quantization_config(spec: PipelineSpec) -> Any:
    """The spec's ``BitsAndBytesConfig``.

    Raises:
        MissingPackageError: bitsandbytes is not installed.
        LoadError: ``quantization`` holds arguments that it does not take.
    """
    if find_spec("bitsandbytes") is None:
        raise MissingPackageError(f"quantization={spec.quantization!r}", "bitsandbytes", "pip install bitsandbytes")
    from transformers import BitsAndBytesConfig

    _cast_noise.install()
    arguments = QUANTIZATIONS[spec.quantization] if isinstance(spec.quantization, str) else spec.quantization or {}
    try:
        return BitsAndBytesConfig(**arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise LoadError(f"quantization must be the arguments of a BitsAndBytesConfig: {error}") from error


def fit_for_cpu(model: Any) -> None:
    """Keep 4-bit layers that the fast kernel of a CPU can't take, such as a narrow head, to the plain one.

    The kernel takes 32 rows at a time and needs whole blocks of scales in each; bitsandbytes fails
    in the first forward pass where a layer has neither.
    """
    for layer in model.modules():
        if getattr(layer, "support_avx512bf16_for_cpu", False):
            blocksize = layer.weight.quant_state.blocksize
            layer.support_avx512bf16_for_cpu = layer.out_features % 32 == 0 and layer.in_features % blocksize == 0


class _CastNoise(logging.Filter):
    """Keeps back what bitsandbytes says in every 8-bit layer of every forward pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("MatMul8bitLt: inputs will be cast")

    def install(self) -> None:
        logging.getLogger("bitsandbytes.autograd._functions").addFilter(self)


_cast_noise = _CastNoise()
