"""Every command and every example of the documents runs as it is written."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from media_files import encoded, picture, tone, write_sound
from stub_pyannote import Annotation, Track, install_pyannote
from tiny_whisper import babble, silence, whisper

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Their commands need a server, pools and workers, and run in tests/deployments; a server's need Docker.
ABOUT_DEPLOYING = {"deploying.md", "deploying-on-a-server.md", "deploying-on-gpus.md", "on-call.md", "upgrading.md"}
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# These set the project up; whoever runs this test has run them.
SET_UP = {
    "make demo",
    "make test",
    "pip install -c constraints.txt .",
    "pip install 'pipeline-flows[meetings,diarization]'",
}


@pytest.fixture
def a_users_folder(tmp_path, monkeypatch, build_model):
    """A CSV of reviews, and folders that go by the names of what the documents take from the Hub."""
    monkeypatch.chdir(tmp_path)
    demo = ROOT / "pipeline_core" / "demo"
    reviews = [json.loads(line) for line in (demo / "reviews.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = "".join(f"{json.dumps(r['text']).replace(chr(92) + chr(34), chr(34) * 2)},{r['label']}\n" for r in reviews)
    (tmp_path / "reviews.csv").write_text("text,label\n" + rows, encoding="utf-8")
    (tmp_path / "stanfordnlp" / "imdb").mkdir(parents=True)
    shutil.copy(demo / "reviews.jsonl", tmp_path / "stanfordnlp" / "imdb" / "test.jsonl")
    shutil.copytree(build_model("features"), tmp_path / "sentence-transformers" / "all-MiniLM-L6-v2")
    shutil.copytree(build_model("tokens"), tmp_path / "dslim" / "bert-base-NER")
    shutil.copytree(demo / "model", tmp_path / "distilbert" / "distilbert-base-uncased-finetuned-sst-2-english")
    shutil.copytree(build_model("vit"), tmp_path / "google" / "vit-base-patch16-224")
    for number, name in enumerate(["cats/0.png", "cats/1.png", "dogs/2.png"]):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(encoded(picture(seed=number)))
    write_sound(tmp_path / "meeting.flac", tone(2.0))
    whisper(tmp_path / "openai" / "whisper-base")
    # Each voice on a channel of its own, so that no package has to tell them apart.
    call = np.concatenate([babble(1.5, 1), silence(2.0)])
    for name in ("recordings/weekly.flac", "calls/monday.wav"):
        (tmp_path / name).parent.mkdir()
        write_sound(tmp_path / name, np.stack([call, np.roll(call, len(call) // 2)], axis=1))
    (tmp_path / "calls.csv").write_text("file,minutes\ncalls/monday.wav,4\ncalls/missed.wav,0\n", encoding="utf-8")
    install_pyannote(monkeypatch, lambda audio: Annotation(Track(0.0, 2.0, "A"), Track(1.0, 3.0, "B")))
    shutil.copytree(build_model("t5"), tmp_path / "google-t5" / "t5-small")
    shutil.copytree(build_model("answerer"), tmp_path / "deepset" / "tinyroberta-squad2")
    return tmp_path


@pytest.mark.parametrize(
    "document", [p for p in DOCUMENTS if p.name not in ABOUT_DEPLOYING], ids=lambda path: path.name
)
def test_what_a_document_shows_runs(document, a_users_folder, prefect_server, capsys):
    from flows.cli import main

    names: dict = {}
    ran = 0
    for kind, text in BLOCK.findall(document.read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(text, f"{document.name}", "exec"), names)
            ran += 1
            continue
        for line in text.replace("\\\n", " ").splitlines():
            command = line.split("  #")[0].strip()
            if not command or command in SET_UP:
                continue
            program, *arguments = shlex.split(command)
            assert program == "pipeline-flows", f"{document.name} shows a command that no test runs: {command}"
            with pytest.raises(SystemExit) as exited:
                main(arguments)
            assert exited.value.code == 0, f"{command}\n{capsys.readouterr().err}"
            ran += 1
    assert ran, f"{document.name} shows nothing to run"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"
