"""The catalog: every task of the registry, its parameters as its pipeline reads them, and tasks added later."""

import ast
import inspect
import textwrap

import pytest
from transformers import TextClassificationPipeline, pipelines
from transformers.pipelines import PIPELINE_REGISTRY, Pipeline

from pipeline_core import PipelineSpec
from pipeline_core.catalog import check_parameters, find_task, task_names
from pipeline_core.errors import UnknownParameterError, UnknownTaskError


def pipeline_class(task: str) -> type:
    impl = PIPELINE_REGISTRY.check_task(task)[1]["impl"]
    return impl if isinstance(impl, type) else getattr(pipelines, impl.rpartition(".")[2])


def looked_up(task: str) -> set[str]:
    """Names that the task's `_sanitize_parameters` compares with `in` to what it was given."""
    function = pipeline_class(task)._sanitize_parameters
    given = {name for name, p in inspect.signature(function).parameters.items() if p.kind is p.VAR_KEYWORD}
    return {
        node.left.value
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function))))
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Constant)
        and isinstance(node.comparators[0], ast.Name)
        and node.comparators[0].id in given
    }


def test_every_task_and_alias_of_transformers_is_there():
    assert task_names() == sorted([*PIPELINE_REGISTRY.supported_tasks, *PIPELINE_REGISTRY.task_aliases])


@pytest.mark.parametrize("name", task_names())
def test_a_task_is_described_as_the_registry_has_it(name):
    canonical, entry, _ = PIPELINE_REGISTRY.check_task(name)
    task = find_task(name)
    assert task.name == canonical
    assert task.modality == entry["type"]
    if "model" in entry["default"]:
        assert task.default_model in str(entry["default"])
        assert "/" in task.default_model
    else:  # translation has one for some pairs of languages
        assert task.default_model is None
    assert task.batching in ("pad", "shape", "alone")


@pytest.mark.parametrize("task", task_names())
def test_the_parameters_a_pipeline_reads_are_accepted(task):
    signature = inspect.signature(pipeline_class(task)._sanitize_parameters)
    signed = {p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD} - {"self"}
    check_parameters(task, dict.fromkeys(signed | looked_up(task)))


def test_some_pipelines_read_parameters_that_no_signature_shows():
    assert looked_up("zero-shot-classification") == {"candidate_labels", "hypothesis_template", "multi_label"}
    assert {"timeout", "points_per_batch", "output_rle_mask"} <= looked_up("mask-generation")


@pytest.mark.parametrize("task", task_names())
def test_any_other_parameter_is_refused_with_those_that_are_accepted(task):
    with pytest.raises(UnknownParameterError, match="no parameter 'no_such_thing'") as refused:
        check_parameters(task, {"no_such_thing": 1})
    assert refused.value.accepted == sorted(find_task(task).parameters)


@pytest.mark.parametrize(
    ("task", "parameters"),
    [
        ("text-classification", ["top_k", "function_to_apply", "truncation", "max_length", "padding"]),
        ("text-generation", ["max_new_tokens", "do_sample", "temperature", "return_full_text", "generate_kwargs"]),
        ("automatic-speech-recognition", ["return_timestamps", "chunk_length_s", "generate_kwargs", "num_beams"]),
    ],
)
def test_parameters_of_the_tokenizer_and_of_generation_are_accepted_where_they_arrive(task, parameters):
    check_parameters(task, dict.fromkeys(parameters))


def test_parameters_of_generation_are_refused_where_nothing_is_generated():
    with pytest.raises(UnknownParameterError):
        check_parameters("text-classification", {"max_new_tokens": 5})


def test_an_unknown_task_is_refused_with_all_known_ones():
    with pytest.raises(UnknownTaskError) as refused:
        find_task("text-clasification")
    assert refused.value.accepted == task_names()


class SeverePipeline(Pipeline):
    """As the guide to custom pipelines writes them."""

    def _sanitize_parameters(self, **kwargs):
        preprocess = {"severity": kwargs["severity"]} if "severity" in kwargs else {}
        return preprocess, {}, {"label": kwargs.get("label")}

    def preprocess(self, inputs, severity=0):
        return self.tokenizer(inputs, return_tensors="pt")

    def _forward(self, inputs):
        return self.model(**inputs)

    def postprocess(self, outputs, label=None):
        return outputs.logits.tolist()


class MilderPipeline(TextClassificationPipeline):
    def _sanitize_parameters(self, mildness=None, **kwargs):
        return super()._sanitize_parameters(**kwargs)


@pytest.fixture
def register():
    """Register a pipeline class for the task "review", and forget it afterwards."""

    def register(pipeline_class):
        PIPELINE_REGISTRY.supported_tasks.pop("review", None)
        PIPELINE_REGISTRY.register_pipeline("review", pipeline_class)

    yield register
    PIPELINE_REGISTRY.supported_tasks.pop("review", None)


def test_a_task_registered_later_is_accepted_with_the_parameters_it_reads(register):
    with pytest.raises(UnknownTaskError):
        find_task("review")
    register(SeverePipeline)
    assert set(find_task("review").parameters) == {"severity", "label"}
    assert find_task("review").default_model is None
    assert PipelineSpec(task="review", parameters={"severity": 3}).task == "review"
    with pytest.raises(ValueError, match="accepts label, severity"):
        PipelineSpec(task="review", parameters={"mildness": 3})


def test_a_class_that_calls_its_base_takes_the_parameters_of_both(register):
    register(MilderPipeline)
    assert set(find_task("review").parameters) == {"mildness", *find_task("text-classification").parameters}


def test_a_task_registered_anew_is_described_anew(register):
    register(SeverePipeline)
    assert "mildness" not in find_task("review").parameters
    register(MilderPipeline)
    assert "mildness" in find_task("review").parameters
