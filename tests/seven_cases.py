"""Calls of the seven pipelines, and the spelling of their answers in JSON."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tiny_seq2seq
import tiny_vision_text
from tiny_models import SENTENCES
from tiny_vision_text import picture

EXPECTED = Path(__file__).parent / "expected"
MODELS: dict[str, Callable[[Path], None]] = {
    "t5": tiny_seq2seq.t5,
    "t5-lengths": lambda folder: tiny_seq2seq.t5(folder, lengths=True),
    "bart": tiny_seq2seq.bart,
    "answerer": tiny_seq2seq.answerer,
    "captioner": tiny_vision_text.captioner,
    "git": tiny_vision_text.git,
    "vilt": tiny_vision_text.vilt,
    "blip-answerer": tiny_vision_text.blip_answerer,
    "upscaler": tiny_vision_text.upscaler,
}
QUESTION, LONG = "Who is this film for?", " ".join(SENTENCES)
PAIR = {"question": QUESTION, "context": SENTENCES[2]}
OTHER = {"question": "Great score?", "context": SENTENCES[5]}
A, B = picture(40, 30, 1), picture(30, 50, 2)
SMALL = picture(8, 6, 3)


def case(task: str, model: str, *inputs: Any, init: dict[str, Any] | None = None, **parameters: Any) -> tuple[Any, ...]:
    return task, model, inputs, init or {}, parameters


# Where generation parameters come from the model's or the task's configuration, transformers 4's rules apply to these.
LEGACY = [
    case("text2text-generation", "t5-lengths", SENTENCES[0]),
    case("summarization", "t5", SENTENCES[2]),
    case("summarization", "t5", SENTENCES[2], max_length=6),
    case("summarization", "t5", SENTENCES[2], init={"num_beams": 1, "max_new_tokens": 5}),
    case("image-to-text", "captioner", A, generate_kwargs={"max_length": 6}),
]
CASES = [
    *(
        case(task, model, *inputs, **parameters)
        for task, model in [("text2text-generation", "t5"), ("summarization", "t5"), ("translation_en_to_fr", "t5")]
        for inputs, parameters in [
            ((SENTENCES[0],), {"max_new_tokens": 8}),
            ((SENTENCES[:3],), {"max_new_tokens": 6, "batch_size": 2}),
            ((SENTENCES[:2],), {"max_new_tokens": 5, "num_beams": 3, "num_return_sequences": 2}),
            ((SENTENCES[1],), {"max_new_tokens": 5, "return_tensors": True, "num_beams": 1}),
            (([SENTENCES[:2], SENTENCES[2:3]],), {"max_new_tokens": 4}),
            ((LONG,), {"max_new_tokens": 4, "truncation": True}),
            (([],), {}),
            ((5,), {}),
        ]
    ),
    case("text2text-generation", "bart", SENTENCES[0], max_new_tokens=12, num_beams=1, stop_sequence="the"),
    case("text2text-generation", "bart", SENTENCES[0], max_new_tokens=6, clean_up_tokenization_spaces=True),
    case("text2text-generation", "bart", SENTENCES[0], init={"max_new_tokens": 5, "num_beams": 2}, num_beams=1),
    case("text2text-generation", "bart", SENTENCES[3], wrong=1),
    case("translation", "t5", SENTENCES[1], max_new_tokens=6),
    case("translation_en_fr", "t5", SENTENCES[1]),
    case("question-answering", "answerer", PAIR),
    case("question-answering", "answerer", **PAIR, top_k=4),
    case("question-answering", "answerer", QUESTION, SENTENCES[4]),
    case("question-answering", "answerer", [PAIR, OTHER], batch_size=2),
    case("question-answering", "answerer", question=[QUESTION, "Not bad?"], context=SENTENCES[3], align_to_words=False),
    case("question-answering", "answerer", question=QUESTION, context=LONG, max_seq_len=32, doc_stride=8, top_k=3),
    case("question-answering", "answerer", question=QUESTION, context=LONG, max_seq_len=32, batch_size=3, top_k=2),
    case("question-answering", "answerer", **OTHER, handle_impossible_answer=True, top_k=20, max_answer_len=2),
    case("question-answering", "answerer", **OTHER, init={"top_k": 2}, max_answer_len=3),
    case("question-answering", "answerer", {"question": QUESTION}),
    case("question-answering", "answerer", {"question": QUESTION, "context": ""}),
    case("question-answering", "answerer", question=[QUESTION], context=[LONG, LONG]),
    case("question-answering", "answerer", **PAIR, top_k=0),
    case("question-answering", "answerer", **PAIR, max_seq_len=16, doc_stride=17),
    case("visual-question-answering", "vilt", A, QUESTION),
    case("vqa", "vilt", image=[A, B], question=[QUESTION, "Not bad?"], top_k=1),
    case("visual-question-answering", "vilt", {"image": B, "question": QUESTION}, top_k=2),
    case("visual-question-answering", "vilt", [{"image": A, "question": QUESTION}, {"image": A, "question": "Great?"}]),
    case("visual-question-answering", "vilt", A),
    case("visual-question-answering", "blip-answerer", A, [QUESTION, "Great score?"], init={"max_new_tokens": 5}),
    case("visual-question-answering", "blip-answerer", A, QUESTION, init={"max_new_tokens": 5}, max_new_tokens=2),
    case("image-to-text", "captioner", A, max_new_tokens=6),
    case("image-to-text", "captioner", [A, B, A], max_new_tokens=5, batch_size=2),
    case(
        "image-to-text",
        "captioner",
        [A, B],
        generate_kwargs={"max_new_tokens": 4, "num_beams": 2, "num_return_sequences": 2},
    ),
    case("image-to-text", "captioner", A, max_new_tokens=3, generate_kwargs={"max_new_tokens": 4}),
    case("image-to-text", "captioner", A, prompt="Great"),
    case("image-to-text", "captioner", None),
    case("image-to-text", "git", B, prompt="Great score", max_new_tokens=5),
    case("image-to-text", "git", [A, B], max_new_tokens=5, batch_size=2),
    case("image-to-text", "git", A, prompt=5),
    case("image-to-image", "upscaler", SMALL),
    case("image-to-image", "upscaler", [SMALL, SMALL], batch_size=2),
    case("image-to-image", "upscaler", []),
]


def answer_to(pipeline: Callable[[], Any], inputs: tuple[Any, ...], parameters: dict[str, Any]) -> Any:
    """The pipeline's answer as JSON has it, or the class of what it raises."""
    try:
        return plain(pipeline()(*inputs, **parameters))
    except Exception as error:
        return {"raises": type(error).__name__}


def plain(answer: Any) -> Any:
    if hasattr(answer, "getbands"):  # a Pillow image: its size and pixels
        return {"size": list(answer.size), "pixels": list(answer.tobytes())}
    if hasattr(answer, "tolist"):
        return answer.tolist()
    if isinstance(answer, dict):
        return {key: plain(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple | Iterator):
        return [plain(value) for value in answer]
    return answer
