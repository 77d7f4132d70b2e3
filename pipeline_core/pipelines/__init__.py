"""The seven tasks that transformers 5 dropped, on its own ``Pipeline`` classes and in its registry.

Importing ``pipeline_core`` is enough for ``transformers.pipeline("summarization", ...)`` and the other
six to work; the classes are here for whoever builds a pipeline by hand.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline_core.pipelines.image_to_image import ImageToImagePipeline
    from pipeline_core.pipelines.image_to_text import ImageToTextPipeline
    from pipeline_core.pipelines.question_answering import QuestionAnsweringPipeline
    from pipeline_core.pipelines.squad_example import SquadExample
    from pipeline_core.pipelines.summarization import SummarizationPipeline
    from pipeline_core.pipelines.text2text_generation import Text2TextGenerationPipeline
    from pipeline_core.pipelines.translation import TranslationPipeline
    from pipeline_core.pipelines.visual_question_answering import VisualQuestionAnsweringPipeline

__all__ = [
    "ImageToImagePipeline",
    "ImageToTextPipeline",
    "QuestionAnsweringPipeline",
    "SquadExample",
    "SummarizationPipeline",
    "Text2TextGenerationPipeline",
    "TranslationPipeline",
    "VisualQuestionAnsweringPipeline",
]

_HOMES = {
    "ImageToImagePipeline": "image_to_image",
    "ImageToTextPipeline": "image_to_text",
    "QuestionAnsweringPipeline": "question_answering",
    "SquadExample": "squad_example",
    "SummarizationPipeline": "summarization",
    "Text2TextGenerationPipeline": "text2text_generation",
    "TranslationPipeline": "translation",
    "VisualQuestionAnsweringPipeline": "visual_question_answering",
}


def __getattr__(name: str) -> Any:
    """Import a class when it is first asked for: transformers takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
