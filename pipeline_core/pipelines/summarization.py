"""Summaries of texts with an encoder-decoder model."""

from transformers.utils import logging

from pipeline_core.pipelines.text2text_generation import Text2TextGenerationPipeline

_logger = logging.get_logger(__name__)


class SummarizationPipeline(Text2TextGenerationPipeline):
    """Summarizes a text; task ``summarization``.

    Called like ``Text2TextGenerationPipeline``, with the same defaults; its answers have ``summary_text`` or
    ``summary_token_ids``.
    """

    return_name = "summary"

    def check_inputs(self, input_length: int, min_length: int, max_length: int | None) -> None:
        """Warn of a summary that may be no shorter than its text, or shorter than its least length."""
        if max_length is not None and max_length < min_length:
            _logger.warning_once(f"min_length={min_length} is above max_length={max_length}")
        if max_length is not None and input_length < max_length:
            _logger.warning_once(
                f"max_length={max_length} lets summaries be longer than their texts; set a smaller one"
            )
