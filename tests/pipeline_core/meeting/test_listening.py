"""How a page gets at its recording."""

import base64
import io

import av
import numpy as np
import pytest
import soundfile

from pipeline_core.errors import InvalidInputError
from pipeline_core.meeting.listening import embed_recording, link_recording
from pipeline_core.storage import Storage


def test_a_link_leads_from_the_page_to_the_recording(tmp_path):
    recording = tmp_path / "recordings" / 'a b#1 "x".wav'
    link = link_recording(Storage(str(tmp_path / "out")), "a-b-1", recording)
    assert link == "../../recordings/a%20b%231%20%22x%22.wav"
    assert link_recording(Storage("memory://out"), "a-b-1", recording) is None


def test_an_embedded_copy_lasts_as_long_and_is_small(tmp_path):
    time = np.arange(44_100 * 8) / 44_100
    tone = 0.3 * np.sin(2 * np.pi * 440 * time) * (time > 4)
    soundfile.write(tmp_path / "tone.wav", np.stack([tone, tone], axis=1), 44_100)
    url = embed_recording(tmp_path / "tone.wav")
    kind, _, content = url.partition(",")
    assert kind == "data:audio/mp4;base64"
    copy = base64.b64decode(content)
    assert len(copy) < 60_000
    with av.open(io.BytesIO(copy)) as opened:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in opened.decode(audio=0)])
    assert len(samples) / 24_000 == pytest.approx(8.0, abs=0.1)
    assert np.flatnonzero(np.abs(samples) > 0.1)[0] / 24_000 == pytest.approx(4.0, abs=0.1)


def test_what_can_not_be_decoded_is_refused(tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(InvalidInputError, match="no recording that can be read"):
        embed_recording(tmp_path / "broken.wav")
