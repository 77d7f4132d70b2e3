"""Media far larger than their neighbours are answered in bounded memory."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
import tiny_media_models
from media_files import encoded, picture, tone, write_sound
from PIL import Image

from pipeline_core import BatchPolicy
from pipeline_core.decoded_media import Opened
from pipeline_core.lookahead import LookAhead, input_bytes
from pipeline_core.records import Chunk, Record

# Prints the resident set's peak in MiB above what was there once the model was loaded, and how many rows failed.
RUN = """
import json, sys, threading, time
import psutil
from pipeline_core import BatchPolicy, DatasetRef, PipelineSpec, infer, load_pipeline

task, model, folder, parameters = json.loads(sys.stdin.read())
spec = PipelineSpec(task=task, model=model, device="cpu", parameters=parameters)
load_pipeline(spec)
process, peak, done = psutil.Process(), 0, threading.Event()
def watch():
    global peak
    while not done.wait(0.01):
        peak = max(peak, process.memory_info().rss)
failed, start = [], process.memory_info().rss
watcher = threading.Thread(target=watch)
watcher.start()
for prediction in infer(spec, DatasetRef(path=folder), batch=BatchPolicy(preprocess_threads=2)):
    if prediction.error is not None:
        failed.append(str(prediction.error))
done.set()
watcher.join()
print(json.dumps([(peak - start) / 2**20, failed]))
"""


def growth_mib(task, model, folder, **parameters):
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps([task, model, str(folder), parameters]),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.real
def test_photos_of_a_hundred_megapixels_among_thumbnails_are_decoded_one_at_a_time(build_model, tmp_path):
    for number in range(60):
        (tmp_path / f"{number:03}.jpg").write_bytes(encoded(picture(160, 120, seed=number), "JPEG"))
    Image.new("RGB", (12_000, 9_000), (200, 90, 30)).save(tmp_path / "020.jpg")
    for copy in ("021.jpg", "022.jpg", "040.jpg"):
        (tmp_path / copy).write_bytes((tmp_path / "020.jpg").read_bytes())
    grown, failed = growth_mib("image-classification", build_model("vit"), tmp_path)
    print(f"grew by {grown:.0f} MiB")
    assert not failed
    assert grown < 2_400  # six copies of one photo, most of them transformers' own; two at once would be twelve


@pytest.mark.real
def test_ten_minutes_of_sound_among_two_hundred_short_ones_are_answered(tmp_path):
    model = tiny_media_models.build("speech", tmp_path / "model")
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for number in range(200):
        write_sound(sounds / f"{number:03}.wav", tone(0.3 + number % 7 / 10))
    write_sound(sounds / "100-long.flac", np.tile(tone(30.0), 20))
    grown, failed = growth_mib("automatic-speech-recognition", model, sounds, chunk_length_s=10)
    print(f"grew by {grown:.0f} MiB")
    assert not failed
    assert grown < 600


def test_large_pictures_wait_for_one_another_and_small_ones_for_none():
    order = []
    with Opened() as first:
        first.hold(900 << 20)
        with Opened() as small:
            small.hold(10 << 20)
        first.hold(900 << 20)  # a record with two does not wait for itself

        def second() -> None:
            with Opened() as opened:
                opened.hold(900 << 20)
                order.append("second")

        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


class _Passing:
    """Stages that make a small chunk of whatever they are given."""

    batching = "shape"
    slice_rows = 4
    most_rows_ahead = 64

    def preprocess(self, records):
        return [[Chunk(number, 0, True, {}, 1)] for number, _ in records]


def test_files_that_come_as_bytes_are_not_read_further_ahead_than_there_is_room_for():
    taken = 0

    def records():
        nonlocal taken
        for number in range(400):
            taken = number
            yield Record(str(number), bytes(100) if number < 100 else bytes(100_000))

    ahead = LookAhead(records(), _Passing(), BatchPolicy(lookahead_bytes=1_000_000), None, lambda: 10_000)
    seen = 0
    while (window := ahead.window()) is not None:
        held = sum(entry.input_bytes for entry in window.entries)
        assert held <= 1_000_000 + 4 * 100_000
        seen += len(window.entries)
        ahead.read_on(128)
        unread = sum(100 if number < 100 else 100_000 for number in range(seen, taken + 1))
        assert unread <= 1_000_000 + 2 * 4 * 100_000
    assert seen == 400


def test_a_raw_input_weighs_what_it_holds():
    image = picture(30, 20)
    assert input_bytes(image) == 30 * 20 * 4
    assert input_bytes({"bytes": bytes(70), "path": "a.png"}) == 75
    assert input_bytes([np.zeros(10, np.float32), bytearray(5)]) == 45
    assert input_bytes(pd.DataFrame({"a": [1, 2]})) == 0
