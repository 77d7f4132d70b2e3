"""Write what transformers 4.56.2 answers to the cases of the seven pipelines.

Run it from the repository's root with a Python that has these and nothing of this project:

    python -m venv transformers4
    transformers4/bin/pip install transformers==4.56.2 torch pillow scipy
    transformers4/bin/python tests/expected/make_expected.py

The models are built as the tests build them, weights included, so nothing is downloaded.
"""

import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
import transformers
from seven_cases import CASES, EXPECTED, LEGACY, MODELS, answer_to


def main() -> None:
    if transformers.__version__ != "4.56.2":
        raise SystemExit(f"transformers must be 4.56.2, but is {transformers.__version__} instead")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for name, build in MODELS.items():
            (Path(folder) / name).mkdir()
            build(Path(folder) / name)
        for name, cases in (("seven", CASES), ("legacy", LEGACY)):
            answers = []
            for task, model, inputs, init, parameters in cases:
                make: Any = partial(transformers.pipeline, task, model=str(Path(folder) / model), use_fast=True, **init)
                answers.append(answer_to(make, inputs, parameters))
                print(task, model, json.dumps(answers[-1])[:150])
            lines = ",\n".join(map(json.dumps, answers))
            (EXPECTED / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
