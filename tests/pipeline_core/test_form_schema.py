"""The forms of specs, datasets and policies: every field described, one kind of input each, no secret, no null."""

import pytest

from pipeline_core import BatchPolicy, DatasetRef, FailurePolicy, PipelineSpec
from pipeline_core.manifest import OutputRef
from pipeline_core.meeting.settings import TranscriptionSettings

MODELS = [PipelineSpec, DatasetRef, OutputRef, BatchPolicy, FailurePolicy, TranscriptionSettings]


@pytest.mark.parametrize("model", MODELS)
def test_every_field_has_a_title_a_description_and_no_null(model):
    schema = model.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() == model.model_fields.keys() - {"token"}
    for name, field in schema["properties"].items():
        assert field["title"][0].isupper(), name
        assert field["description"], name
        assert "\n" not in field["description"]
        assert "null" not in [option.get("type") for option in field.get("anyOf", [])]
        assert field.get("default", 0) is not None
    assert "\n" not in schema["description"]


def test_a_token_has_no_field():
    assert "token" not in PipelineSpec.model_json_schema()["properties"]


def test_what_matters_comes_first_and_what_experts_set_last():
    fields = list(PipelineSpec.model_json_schema()["properties"])
    assert fields[:3] == ["task", "model", "dtype"]
    assert fields[-3:] == ["parameters", "model_kwargs", "trust_remote_code"]


@pytest.mark.parametrize("model", MODELS)
def test_fields_are_in_order_where_only_their_positions_are_kept(model):
    fields = model.model_json_schema()["properties"]
    kept = dict(sorted(fields.items()))  # as a database does that keeps JSON by its keys
    assert sorted(kept, key=lambda name: kept[name]["position"]) == list(fields)


@pytest.mark.parametrize("name", ["task", "dtype", "quantization", "device_map", "on_long"])
def test_a_form_offers_choices_all_of_which_are_accepted(name):
    field = PipelineSpec.model_json_schema()["properties"][name]
    assert len(field["enum"]) >= 2
    for choice in field["enum"]:
        given = {"task": "text-classification", name: choice}
        assert getattr(PipelineSpec(**given), name) == choice
