"""The seven tasks are transformers' own again, however and whenever it is imported."""

import subprocess
import sys

import pytest
import transformers
from transformers import pipelines

from pipeline_core import PipelineSpec, load_pipeline
from pipeline_core.catalog import find_task
from pipeline_core.errors import UnknownTaskError
from pipeline_core.pipelines import QuestionAnsweringPipeline, TranslationPipeline, registration

IMPORTED_LATER = """
import sys
import pipeline_core
assert not {"torch", "transformers", "numpy"} & sys.modules.keys(), "importing pipeline_core has to stay cheap"
import transformers
assert "transformers.pipelines" not in sys.modules
from transformers import pipelines
assert pipelines.check_task("summarization")[0] == "summarization"
assert pipelines.check_task("vqa")[0] == "visual-question-answering"
import importlib
importlib.reload(pipelines)
assert pipelines.check_task("translation_en_to_fr")[2] == ("en", "fr")
"""


def test_importing_the_package_registers_the_tasks_once_transformers_pipelines_are_imported():
    made = subprocess.run([sys.executable, "-W", "ignore", "-c", IMPORTED_LATER], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


def test_registering_again_changes_nothing():
    before = dict(pipelines.PIPELINE_REGISTRY.supported_tasks), pipelines.check_task, pipelines._resolve_deprecated_task
    registration.register_on_import()
    registration.register(pipelines)
    assert before == (
        pipelines.PIPELINE_REGISTRY.supported_tasks,
        pipelines.check_task,
        pipelines._resolve_deprecated_task,
    )


@pytest.mark.parametrize("task", registration._TASKS)
def test_each_task_has_its_class_its_models_and_a_default(task):
    name, entry, _ = pipelines.check_task(task)
    assert name == task
    assert pipelines._resolve_impl(entry["impl"]) is getattr(pipelines, entry["impl"].rpartition(".")[2])
    assert entry["pt"]
    assert entry["default"]
    assert find_task(task).parameters


def test_a_pair_of_languages_is_a_task_with_its_own_default_model():
    assert find_task("translation_en_to_fr").default_model == "google-t5/t5-base"
    assert find_task("translation_fi_to_sv").default_model is None


@pytest.mark.parametrize("task", ["translation_en_fr", "translation_en_to", "translation_xx_to_yy_zz"])
def test_a_pair_of_languages_that_is_not_spelled_as_one_is_refused(task):
    with pytest.raises(KeyError, match="translation_XX_to_YY"):
        pipelines.check_task(task)
    with pytest.raises(UnknownTaskError):
        find_task(task)


def test_tasks_that_are_not_ours_are_treated_as_before():
    assert pipelines.check_task("ner")[0] == "token-classification"
    with pytest.raises(KeyError, match="Unknown task"):
        transformers.pipeline("conversational")


def test_the_same_weights_translate_into_the_language_that_each_spec_names(build_model):
    folder = build_model("t5")
    made = [load_pipeline(PipelineSpec(task=f"translation_en_to_{to}", model=folder)) for to in ("de", "fr")]
    assert [pipeline.prefix for pipeline in made] == ["into German : ", "into French : "]
    assert made[0].model is made[1].model
    assert all(isinstance(pipeline, TranslationPipeline) for pipeline in made)


def test_the_config_keeps_what_a_pipeline_reads_from_it(build_model):
    model = load_pipeline(PipelineSpec(task="summarization", model=build_model("t5"))).model
    tokenizer = transformers.AutoTokenizer.from_pretrained(build_model("t5"))
    made = [transformers.pipeline("summarization", model=model, tokenizer=tokenizer) for _ in range(2)]
    assert made[0].prefix == made[1].prefix == "summarize : "


def test_questions_are_answered_through_a_spec(build_model):
    spec = PipelineSpec(task="question-answering", model=build_model("answerer"), parameters={"top_k": 2})
    pipeline = load_pipeline(spec)
    assert isinstance(pipeline, QuestionAnsweringPipeline)
    assert len(pipeline("Who is this for?", "Nobody I know.")) == 2
