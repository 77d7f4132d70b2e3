"""What the pipelines of all tasks return for one record, under the parameters that change it."""

from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

MASK = Image.fromarray(np.array([[255, 0, 0], [255, 255, 0]], np.uint8))
BOX = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}
LABELS = [{"score": 0.75, "label": "cat"}, {"score": 0.25, "label": "dog"}]
SPAN = {"score": 0.5, "start": 3, "end": 9, "answer": "a film"}
ENTITY = {
    "entity": "B-X",
    "score": np.float32(0.5),
    "index": 2,
    "word": "film",
    "start": np.int64(3),
    "end": np.int64(7),
}
GROUP = {"entity_group": "X", "score": np.float32(0.5), "word": "a film", "start": 1, "end": 7}
FILLING = {"score": 0.5, "token": 7, "token_str": "film", "sequence": "a film"}
MATCH = {"keypoint_image_0": {"x": 1, "y": 2}, "keypoint_image_1": {"x": 3, "y": 4}, "score": 0.5}
PROMPT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"}]
CHAT = [*PROMPT, {"role": "assistant", "content": "So."}]
SEEN = [{"role": "user", "content": [{"type": "image", "image": MASK}, {"type": "text", "text": "What?"}]}]
CALL = {"role": "assistant", "content": None, "tool_calls": [{"name": "look", "arguments": {"at": "film"}}]}
CELLS = {"answer": "COUNT > 1, 2", "coordinates": [(0, 1), (2, 1)], "cells": ["1", "2"], "aggregator": "COUNT"}
FEATURES = torch.arange(24, dtype=torch.float32).reshape(1, 4, 6) / 8
DECISIONS = {
    "go": {"type": "choice", "choice": "yes", "confidence": 0.5, "probabilities": {"yes": 0.75, "no": 0.25}},
    "rate": {
        "type": "score",
        "score": 0.25,
        "legend": {"0": "bad", "1": None},
        "confidence": 0.5,
        "probabilities": {"0": 0.75, "1": 0.25},
    },
    "sure": {"type": "noul", "noul": 0.9},
}


class Case(NamedTuple):
    """An output, and what the columns must hold of it."""

    task: str
    parameters: dict[str, Any]
    output: Any
    row: dict[str, Any]


def both(label: str, score: float, predictions: Any) -> dict[str, Any]:
    return {"predicted_label": label, "predicted_score": score, "predictions": predictions}


def answers(best: dict[str, Any]) -> dict[str, Any]:
    return {f"predicted_{name}": value for name, value in best.items()}


def message(role: str, content: str | None, extra: str | None = None) -> dict[str, Any]:
    return {"role": role, "content": content, "extra": extra}


CHAT_COLUMN = [message("system", "Be short."), message("user", "Why?"), message("assistant", "So.")]
SEEN_COLUMN = message("user", '[{"type": "image"}, {"type": "text", "text": "What?"}]')
ZERO_SHOT = {"sequence": "A film.", "labels": ["art", "sport"], "scores": [0.75, 0.25]}
ZERO_SHOT_LABELS = [{"label": "art", "score": 0.75}, {"label": "sport", "score": 0.25}]
NOTHING = {"answer": None, "score": None, "start": None, "end": None}

CASES = [
    Case("text-classification", {}, LABELS[0], answers(LABELS[0])),
    Case("sentiment-analysis", {"top_k": 1}, LABELS[:1], answers(LABELS[0])),
    Case("text-classification", {"top_k": None}, LABELS[::-1], both("cat", 0.75, LABELS[::-1])),
    Case("text-classification", {"top_k": 2}, LABELS, both("cat", 0.75, LABELS)),
    Case("image-classification", {}, LABELS, both("cat", 0.75, LABELS)),
    Case("image-classification", {"top_k": 1}, LABELS[:1], answers(LABELS[0])),
    Case("audio-classification", {"top_k": None}, LABELS, both("cat", 0.75, LABELS)),
    Case("video-classification", {}, LABELS, both("cat", 0.75, LABELS)),
    Case("zero-shot-image-classification", {}, LABELS, both("cat", 0.75, LABELS)),
    Case("zero-shot-audio-classification", {}, LABELS, both("cat", 0.75, LABELS)),
    Case("zero-shot-classification", {}, ZERO_SHOT, both("art", 0.75, ZERO_SHOT_LABELS)),
    Case("zero-shot-classification", {"multi_label": True}, ZERO_SHOT, both("art", 0.75, ZERO_SHOT_LABELS)),
    Case("token-classification", {}, [ENTITY, ENTITY], {"predictions": [ENTITY, ENTITY]}),
    Case("ner", {"aggregation_strategy": "simple"}, [GROUP], {"predictions": [GROUP]}),
    Case("ner", {"aggregation_strategy": "MAX"}, [], {"predictions": []}),
    Case(
        "token-classification",
        {"aggregation_strategy": "none"},
        [ENTITY | {"start": None, "end": None}],
        {"predictions": [ENTITY | {"start": None, "end": None}]},
    ),
    Case("fill-mask", {}, [FILLING, FILLING], {"predictions": [{"mask": 0, **FILLING}] * 2}),
    Case("fill-mask", {}, [[FILLING], [FILLING]], {"predictions": [{"mask": 0, **FILLING}, {"mask": 1, **FILLING}]}),
    Case(
        "object-detection",
        {},
        [{**LABELS[0], "box": BOX}],
        {"predictions": [{**LABELS[0], "box": BOX}]},
    ),
    Case("zero-shot-object-detection", {}, [], {"predictions": []}),
    Case(
        "image-segmentation",
        {},
        [{**LABELS[0], "mask": MASK}, {"score": None, "label": "sky", "mask": MASK}],
        {
            "predictions": [
                {**LABELS[0], "mask": "_media/part-00000/000000-mask-0.png"},
                {"score": None, "label": "sky", "mask": "_media/part-00000/000000-mask-1.png"},
            ]
        },
    ),
    Case(
        "mask-generation",
        {},
        {"masks": [np.array([[True, False]])], "scores": torch.tensor([0.5])},
        {"predictions": [{"score": 0.5, "mask": "_media/part-00000/000000-mask-0.png"}]},
    ),
    Case(
        "mask-generation",
        {"output_bboxes_mask": True, "output_rle_mask": True},
        {
            "masks": torch.tensor([[[True, False]]]),
            "scores": torch.tensor([0.5]),
            "rle_mask": [{"size": [1, 2], "counts": [0, 1, 1]}],
            "bounding_boxes": torch.tensor([[0.0, 0.0, 1.0, 1.0]]),
            "more": ["of the chunks"],
        },
        {
            "predictions": [
                {
                    "score": 0.5,
                    "mask": "_media/part-00000/000000-mask-0.png",
                    "bounding_box": [0, 0, 1, 1],
                    "rle_mask": {"size": [1, 2], "counts": [0, 1, 1]},
                }
            ]
        },
    ),
    Case("keypoint-matching", {}, [MATCH], {"predictions": [MATCH]}),
    Case(
        "depth-estimation",
        {},
        {"predicted_depth": torch.ones(2, 3, dtype=torch.bfloat16), "depth": MASK},
        {
            "predicted_depth": "_media/part-00000/000000-predicted_depth-0.npy",
            "depth": "_media/part-00000/000000-depth-0.png",
        },
    ),
    Case("question-answering", {}, SPAN, answers(SPAN)),
    Case("question-answering", {"top_k": 2}, [SPAN, SPAN], {**answers(SPAN), "predictions": [SPAN, SPAN]}),
    Case("document-question-answering", {}, [SPAN], answers(SPAN)),
    Case("document-question-answering", {}, [], answers(NOTHING)),
    Case("document-question-answering", {}, [{"answer": "a film"}], answers(NOTHING | {"answer": "a film"})),
    Case("document-question-answering", {"top_k": 3}, [SPAN], {**answers(SPAN), "predictions": [SPAN]}),
    Case(
        "visual-question-answering",
        {},
        [{"score": 0.5, "answer": "yes"}],
        {"predicted_answer": "yes", "predicted_score": 0.5, "predictions": [{"answer": "yes", "score": 0.5}]},
    ),
    Case(
        "visual-question-answering",
        {"top_k": 1},
        [{"answer": "yes"}],
        {"predicted_answer": "yes", "predicted_score": None},
    ),
    Case(
        "table-question-answering",
        {},
        CELLS,
        {"predicted_answer": CELLS["answer"], "predictions": [CELLS | {"coordinates": [[0, 1], [2, 1]]}]},
    ),
    Case(
        "table-question-answering",
        {"sequential": True},
        [{"answer": "1"}, {"answer": "2"}],
        {
            "predicted_answer": "1",
            "predictions": [
                {"answer": answer, "coordinates": None, "cells": None, "aggregator": None} for answer in "12"
            ],
        },
    ),
    Case("text-generation", {}, [{"generated_text": "a"}], {"generated_text": "a", "generated_messages": None}),
    Case(
        "text-generation", {}, [{"generated_text": CHAT}], {"generated_text": "So.", "generated_messages": CHAT_COLUMN}
    ),
    Case("text-generation", {"return_full_text": False}, [{"generated_text": " a"}], {"generated_text": " a"}),
    Case(
        "text-generation",
        {"num_return_sequences": 2},
        [{"generated_text": "a"}, {"generated_text": CHAT}],
        {"generated_text": "a", "generated_texts": ["a", "So."], "generated_messages": [None, CHAT_COLUMN]},
    ),
    Case(
        "text-generation",
        {"return_tensors": True},
        [{"generated_token_ids": torch.tensor([1, 2])}],
        {"generated_token_ids": [1, 2]},
    ),
    Case(
        "text-generation",
        {},
        [{"generated_text": [PROMPT[1], CALL]}],
        {
            "generated_text": None,
            "generated_messages": [
                message("user", "Why?"),
                message("assistant", None, '{"tool_calls": [{"name": "look", "arguments": {"at": "film"}}]}'),
            ],
        },
    ),
    Case(
        "text-generation",
        {"return_dict_in_generate": True, "return_full_text": False},
        [{"generated_text": "a", "scores": [[float("-inf"), 0.5]]}],
        {"generated_text": "a", "prediction": '[{"generated_text": "a", "scores": [["-Infinity", 0.5]]}]'},
    ),
    Case(
        "image-text-to-text",
        {},
        [{"input_text": SEEN, "generated_text": [*SEEN, {"role": "assistant", "content": "A film."}]}],
        {"generated_text": "A film.", "generated_messages": [SEEN_COLUMN, message("assistant", "A film.")]},
    ),
    Case(
        "image-text-to-text",
        {"return_full_text": False},
        [{"input_text": "<image> What?", "generated_text": "A film."}],
        {"generated_text": "A film."},
    ),
    Case(
        "any-to-any",
        {"return_type": 0},
        [{"input_text": "a", "generated_token_ids": torch.tensor([1, 2])}],
        {"generated_token_ids": [1, 2]},
    ),
    Case(
        "any-to-any",
        {"generation_mode": "image"},
        [{"input_text": "a", "generated_image": MASK}],
        {"generated_image": "_media/part-00000/000000-generated_image-0.png"},
    ),
    Case(
        "any-to-any",
        {"generation_mode": "audio"},
        [{"input_text": "a", "generated_audio": torch.zeros(8)}],
        {"generated_audio": "_media/part-00000/000000-generated_audio-0.npy"},
    ),
    Case("summarization", {}, [{"summary_text": "a"}], {"summary_text": "a"}),
    Case(
        "summarization",
        {"return_tensors": True},
        [{"summary_token_ids": torch.tensor([1, 2])}],
        {"summary_token_ids": [1, 2]},
    ),
    Case("translation", {}, [{"translation_text": "a"}], {"translation_text": "a"}),
    Case("text2text-generation", {"return_tensors": False}, [{"generated_text": "a"}], {"generated_text": "a"}),
    Case(
        "text2text-generation",
        {"generate_kwargs": {"num_return_sequences": 2}},
        [{"generated_text": "a"}, {"generated_text": "b"}],
        {"generated_text": "a", "generated_texts": ["a", "b"]},
    ),
    Case("image-to-text", {}, [{"generated_text": "a"}], {"generated_text": "a"}),
    Case("automatic-speech-recognition", {}, {"text": "a"}, {"predicted_text": "a"}),
    Case(
        "automatic-speech-recognition",
        {"return_timestamps": "word"},
        {"text": "a", "chunks": [{"text": "a", "timestamp": (0.0, None)}], "speaker": ["x"]},
        {"predicted_text": "a", "chunks": [{"text": "a", "start": 0.0, "end": None}]},
    ),
    Case(
        "automatic-speech-recognition",
        {"return_timestamps": True, "return_language": True},
        {"text": "a", "chunks": [{"text": "a", "timestamp": (0.0, 1.5), "language": "english"}]},
        {"predicted_text": "a", "chunks": [{"text": "a", "start": 0.0, "end": 1.5, "language": "english"}]},
    ),
    Case(
        "feature-extraction",
        {},
        FEATURES.tolist(),
        {"features": FEATURES.flatten().tolist(), "features_shape": [1, 4, 6]},
    ),
    Case(
        "image-feature-extraction",
        {"pool": True, "return_tensors": True},
        FEATURES[:, 0],
        {"features": FEATURES[0, 0].tolist(), "features_shape": [1, 6]},
    ),
    Case(
        "text-to-speech",
        {},
        {"audio": np.zeros((2, 8), np.float32), "sampling_rate": 16_000},
        {"audio": "_media/part-00000/000000-audio-0.wav", "sampling_rate": 16_000},
    ),
    Case("image-to-image", {}, MASK, {"image": "_media/part-00000/000000-image-0.png"}),
    Case(
        "decision",
        {},
        DECISIONS,
        {
            "predictions": [
                {
                    "question": name,
                    "type": answer["type"],
                    "choice": answer.get("choice"),
                    "score": answer.get("score"),
                    "noul": answer.get("noul"),
                    "confidence": answer.get("confidence"),
                    "options": [
                        {"option": option, "probability": share, "description": answer.get("legend", {}).get(option)}
                        for option, share in answer["probabilities"].items()
                    ]
                    if "probabilities" in answer
                    else None,
                }
                for name, answer in DECISIONS.items()
            ]
        },
    ),
]
