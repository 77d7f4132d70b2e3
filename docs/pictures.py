"""Draw the pictures of the transcript page that the how-to shows, with a Chromium of this machine.

    python docs/pictures.py

They go to docs/pictures/. The meeting is made up; its page is what ``pipeline-flows transcribe`` writes.
"""

import os
import shutil
import tempfile
import wave
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from pipeline_core.meeting.page import to_html
from pipeline_core.meeting.transcript import Segment, Transcript, Turn, Word

PICTURES = Path(__file__).parent / "pictures"
WORD_S = 0.32
PAUSE_S = 0.7
SAID = [
    ("S1", "Good morning. Shall we begin with the numbers of last week?", ""),
    ("S2", "Four hundred and twelve hours, and a third of them came from the cache.", ""),
    ("S3", "A third?", "overlap"),
    ("S2", "Yes. People move their recordings around, and a file that was moved is not transcribed again.", ""),
    ("S1", "And the night when the machine went down?", ""),
    ("S2", "It went on in the middle of the eight-hour hearing. Nothing was lost, and nothing was done twice.", ""),
    ("S3", "door closes the the", "uncertain"),
    ("S1", "Good. Then let us look at what still takes too long.", ""),
]


def meeting() -> Transcript:
    """The made-up meeting, spoken at an even pace."""
    segments, at = [], 0.6
    for speaker, text, mark in SAID:
        if mark == "overlap":
            at -= 1.2
        words = [
            Word(text=word, start_s=at + i * WORD_S, end_s=at + (i + 0.9) * WORD_S, speaker=speaker)
            for i, word in enumerate(text.split())
        ]
        marks = {"overlap": mark == "overlap", "uncertain": mark == "uncertain"}
        end_s = words[-1].end_s
        segments.append(Segment(text=text, start_s=at, end_s=end_s, speaker=speaker, words=tuple(words), **marks))
        at = end_s + PAUSE_S
    return Transcript(
        recording="weekly-numbers.m4a",
        content_id="a made-up meeting",
        duration_s=at + 1.0,
        speech_s=sum(segment.duration_s for segment in segments),
        language="en",
        model="openai/whisper-base",
        model_revision=None,
        segments=tuple(segments),
        turns=tuple(Turn(speaker=s.speaker or "", start_s=s.start_s, end_s=s.end_s) for s in segments),
        names={"S1": "Ana"},
        created_with="pipeline-flows",
    )


def write_silence(path: Path, seconds: float) -> None:
    """A recording for the page to find."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * round(8_000 * seconds)))


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium is installed; run: apt-get install chromium")
    PICTURES.mkdir(exist_ok=True)
    transcript = meeting()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_silence(Path(folder) / "recording.wav", transcript.duration_s)
        page_file = Path(folder) / "transcript.html"
        page_file.write_text(to_html(transcript, "recording.wav"), encoding="utf-8")
        # A browser that runs as root, as in a container, has no sandbox to offer.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        for name, width, height, scheme in (("page", 1000, 860, "light"), ("page-phone", 390, 760, "dark")):
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(page_file.as_uri())
            page.locator("#search").fill("not")
            page.locator(".w", has_text="cache.").click()
            page.wait_for_timeout(500)
            picture = PICTURES / f"{name}.png"
            page.screenshot(path=picture)
            # A page has few colours: a palette takes a third of the bytes.
            Image.open(picture).convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(picture, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
