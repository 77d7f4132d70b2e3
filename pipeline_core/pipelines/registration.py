"""Registration of the seven tasks with transformers, whenever its pipelines are or get imported."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_TRANSFORMERS = "transformers.pipelines"
_HERE = __name__.rpartition(".")[0]
_T5 = ("google-t5/t5-base", "a9723ea")
_ALIASES = {"vqa": "visual-question-answering"}
# By task: class, auto class of its models, default models and their commits (by languages for translation), modality.
_TASKS: dict[str, tuple[str, str, Any, str]] = {
    "summarization": (
        "summarization.SummarizationPipeline",
        "AutoModelForSeq2SeqLM",
        {"model": ("sshleifer/distilbart-cnn-12-6", "a4f8f3e")},
        "text",
    ),
    "translation": (
        "translation.TranslationPipeline",
        "AutoModelForSeq2SeqLM",
        {("en", target): {"model": _T5} for target in ("fr", "de", "ro")},
        "text",
    ),
    "text2text-generation": (
        "text2text_generation.Text2TextGenerationPipeline",
        "AutoModelForSeq2SeqLM",
        {"model": _T5},
        "text",
    ),
    "question-answering": (
        "question_answering.QuestionAnsweringPipeline",
        "AutoModelForQuestionAnswering",
        {"model": ("distilbert/distilbert-base-cased-distilled-squad", "564e9b5")},
        "text",
    ),
    "visual-question-answering": (
        "visual_question_answering.VisualQuestionAnsweringPipeline",
        "AutoModelForVisualQuestionAnswering",
        {"model": ("dandelin/vilt-b32-finetuned-vqa", "d0a1f6a")},
        "multimodal",
    ),
    "image-to-text": (
        "image_to_text.ImageToTextPipeline",
        "AutoModelForImageTextToText",
        {"model": ("ydshieh/vit-gpt2-coco-en", "5bebf1e")},
        "multimodal",
    ),
    "image-to-image": (
        "image_to_image.ImageToImagePipeline",
        "AutoModelForImageToImage",
        {"model": ("caidas/swin2SR-classical-sr-x2-64", "cee1c92")},
        "image",
    ),
}


def register_on_import() -> None:
    """Register the tasks now if transformers' pipelines are imported, or else as soon as they are."""
    if _TRANSFORMERS in sys.modules:
        register(import_module(_TRANSFORMERS))  # waits for another thread that is still importing it
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def register(pipelines: Any) -> None:
    """Give the module ``transformers.pipelines`` the seven tasks; a second time changes nothing.

    The tasks are entries of its ``PIPELINE_REGISTRY`` like those of transformers itself; besides, the
    module has their classes, its redirection of removed tasks lets them pass, and
    ``translation_xx_to_yy`` is a task again.
    """
    registry = pipelines.PIPELINE_REGISTRY
    if _TASKS.keys() <= registry.supported_tasks.keys():
        return
    for task, (pipeline_class, auto_class, default, modality) in _TASKS.items():
        models = (getattr(import_module("transformers"), auto_class),)
        module, _, name = f"{_HERE}.{pipeline_class}".rpartition(".")  # which transformers imports at its first use
        pipelines._PIPELINE_CLASS_TO_MODULE[name] = module
        entry = {"impl": f"{module}.{name}", "pt": models, "default": default, "type": modality}
        registry.supported_tasks[task] = entry
    registry.task_aliases.update(_ALIASES)
    redirect, check_task = pipelines._resolve_deprecated_task, registry.check_task

    def resolve(task: str) -> str:
        ours = task in _TASKS or task in _ALIASES or task.startswith("translation_")
        return task if ours else str(redirect(task))

    def check(task: str) -> tuple[str, dict[str, Any], Any]:
        if not task.startswith("translation_"):
            checked: tuple[str, dict[str, Any], Any] = check_task(task)
            return checked
        _, *languages = task.split("_")
        if len(languages) != 3 or languages[1] != "to":
            raise KeyError(f"Invalid translation task {task}, use 'translation_XX_to_YY' format")
        return "translation", registry.supported_tasks["translation"], (languages[0], languages[2])

    pipelines._resolve_deprecated_task = resolve
    registry.check_task = check


class _Finder:
    """Finds transformers' pipelines where the other finders do, and registers the tasks once they are run."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname != _TRANSFORMERS:
            return None
        others = (finder for finder in sys.meta_path if not isinstance(finder, _Finder))
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec: Any = next((spec for spec in specs if spec is not None), None)
        loader = spec.loader if spec is not None else None
        if loader is not None:
            run = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                if module.__name__ == _TRANSFORMERS:
                    register(module)

            loader.exec_module = exec_module
        return spec
