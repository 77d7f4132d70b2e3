"""The page in a real browser: words seek and light up, search finds, toggles hide, keys work, phones and paper too."""

import os
import shutil
import time

import numpy as np
import pytest
import soundfile
from meetings import HOSTILE, a_meeting, say, transcript_of

from pipeline_core.meeting.folder import transcript_name
from pipeline_core.meeting.listening import embed_recording, link_recording
from pipeline_core.meeting.page import to_html
from pipeline_core.storage import Storage

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser():
    # A browser that runs as root, as in a container, has no sandbox to offer.
    arguments = ["--autoplay-policy=no-user-gesture-required", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser, tmp_path):
    """Write a transcript's page beside its recording and open it; what the browser complains of fails the test."""
    contexts, complaints = [], []

    def opened(transcript=None, recorded=True, embedded=False, **options):
        transcript = transcript or a_meeting(names={"S1": "Ana"})
        recording = tmp_path / "recordings" / "a meeting.wav"
        recording.parent.mkdir(exist_ok=True)
        if recorded:
            noise = np.random.default_rng(1).normal(0, 0.01, round(16_000 * transcript.duration_s))
            soundfile.write(recording, noise, 16_000)
        name = transcript_name(transcript.recording, transcript.content_id)
        link = link_recording(Storage(str(tmp_path / "out")), name, recording)
        file = tmp_path / "out" / name / "transcript.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(to_html(transcript, embed_recording(recording) if embedded else link), encoding="utf-8")
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" and recorded else None)
        page.goto(file.as_uri())
        if recorded:
            until(page, "document.getElementById('audio').readyState > 0")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def until(page, condition: str) -> None:
    """Wait for it from outside: the page's policy lets nobody evaluate text in it."""
    deadline = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"never came: {condition}"
        page.wait_for_timeout(20)


def time_of(page) -> float:
    return page.evaluate("document.getElementById('audio').currentTime")


def word(page, text: str):
    return page.locator(".w", has_text=text).first


def test_a_click_on_a_word_seeks_to_it_and_lights_it_up(open_page):
    page = open_page()
    assert time_of(page) == 0
    for text in ("transcribed", "nothing", "morning"):
        word(page, text).click()
        start = float(word(page, text).get_attribute("data-s"))
        assert time_of(page) == pytest.approx(start, abs=0.01)
        assert page.locator(".w.now").all_inner_texts()[0].startswith(text)
    assert page.locator("#clock").inner_text().startswith("0:00 / 0:23")


@pytest.mark.parametrize("embedded", [False, True])
def test_words_light_up_while_they_are_spoken(open_page, embedded):
    page = open_page(embedded=embedded)
    word(page, "transcribed").click()
    page.locator("#play").click()
    until(page, "document.querySelector('.w.now')?.textContent === 'hours,'")
    assert page.locator("#play").inner_text() == "Pause"
    page.locator("#play").click()
    until(page, "document.querySelector('#play').innerText === 'Play'")
    lit = page.locator(".w.now")
    now = time_of(page)
    if lit.count():
        assert float(lit.first.get_attribute("data-s")) <= now <= float(lit.first.get_attribute("data-e")) + 0.1


def test_search_finds_across_words_without_case_or_accents_and_walks_the_matches(open_page):
    page = open_page(transcript_of([say("Un café noir. Cafe  Noir!", 0.0, "S1"), say("Tea, café", 9.0, "S2")]))
    page.keyboard.press("/")
    page.keyboard.type("CAFÉ noir")
    assert page.locator("#count").inner_text() == "2 matches"
    assert page.locator(".w.found").all_inner_texts() == ["café", "noir.", "Cafe", "Noir!"]
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert page.locator("#count").inner_text() == "2 of 2"
    assert page.locator(".w.found-now").all_inner_texts() == ["Cafe", "Noir!"]
    page.locator("#next").click()
    assert page.locator("#count").inner_text() == "1 of 2"
    page.locator("#previous").click()
    assert page.locator("#count").inner_text() == "2 of 2"
    page.locator("#search").fill("tea, ca")
    assert page.locator("#count").inner_text() == "1 match"
    page.locator("#search").fill("nowhere")
    assert page.locator("#count").inner_text() == "0 matches"
    assert page.locator("#next").is_disabled()
    page.locator("#search").press("Escape")
    assert page.locator(".w.found").count() == 0


def test_toggles_show_one_speaker_or_what_is_marked_and_the_other_theme(open_page):
    page = open_page(color_scheme="light")
    shown = page.locator(".said:visible")
    everything = shown.count()
    page.get_by_role("button", name="Ana").click()
    assert {section.get_attribute("data-speaker") for section in shown.all()} == {"S1"}
    page.get_by_role("button", name="S2").click()
    assert {section.get_attribute("data-speaker") for section in shown.all()} == {"S1", "S2"}
    page.get_by_role("button", name="Ana").click()
    page.get_by_role("button", name="S2").click()
    assert shown.count() == everything
    page.locator("#marked").click()
    assert shown.all_inner_texts() != []
    assert all(section.locator(".mark").count() for section in shown.all())
    page.locator("#marked").click()
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(paper)
    page.locator("#theme").click()
    assert page.evaluate(paper) != before
    page.locator("#theme").click()
    assert page.evaluate(paper) == before


def test_everything_can_be_reached_by_keys(open_page):
    page = open_page()
    page.keyboard.press(".")
    page.keyboard.press(".")
    second = float(page.locator(".w").nth(1).get_attribute("data-s"))
    assert time_of(page) == pytest.approx(second, abs=0.01)
    page.keyboard.press("ArrowRight")
    assert time_of(page) == pytest.approx(second + 5, abs=0.01)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press(",")
    assert time_of(page) == pytest.approx(float(page.locator(".w").nth(0).get_attribute("data-s")), abs=0.01)
    page.keyboard.press(" ")
    until(page, "!document.getElementById('audio').paused")
    page.keyboard.press(" ")
    until(page, "document.getElementById('audio').paused")
    page.locator("#seek").focus()
    page.keyboard.press("End")
    assert time_of(page) == pytest.approx(float(page.locator("#seek").get_attribute("max")), abs=0.1)
    reached = set()
    page.locator("body").click(position={"x": 2, "y": 2})
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"search", "theme", "marked", "time ui", "play", "seek", "speed", "follow"} <= reached


def test_a_link_to_a_moment_opens_there_and_times_are_such_links(open_page):
    page = open_page()
    page.locator(".time").nth(3).click()
    start = float(page.locator(".time").nth(3).get_attribute("data-s"))
    assert time_of(page) == pytest.approx(start, abs=0.01)
    assert page.url.endswith(f"#t={start:.2f}")
    page.reload()
    until(page, "document.getElementById('audio').readyState > 0")
    assert time_of(page) == pytest.approx(start, abs=0.01)


def test_a_recording_that_was_moved_can_be_chosen_by_hand(open_page, tmp_path):
    page = open_page(recorded=False)
    page.locator("#trouble").wait_for(state="visible")
    word(page, "nothing").click()
    soundfile.write(tmp_path / "moved.wav", np.zeros(16_000 * 24), 16_000)
    page.locator("#file").set_input_files(tmp_path / "moved.wav")
    until(page, "document.getElementById('audio').readyState > 0")
    page.locator("#trouble").wait_for(state="hidden")
    assert time_of(page) == pytest.approx(float(word(page, "nothing").get_attribute("data-s")), abs=0.01)


def test_hostile_text_runs_nothing_and_reads_as_it_was_said(open_page):
    hostile = HOSTILE.replace(" ", "")
    image = '"><img/src=x/onerror=alert(2)>'
    transcript = transcript_of([say(f"{hostile} {image}", 0.0, "S1"), say("y", 5.0, "S2")], names={"S1": image})
    page = open_page(transcript)
    assert page.locator(".said p").first.inner_text() == f"{hostile} {image}"
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_page_fits_any_width_and_nothing_covers_the_last_words(open_page, width):
    names = {"S1": "A name that is a good deal longer than most names are", "S2": "x" * 60}
    page = open_page(a_meeting(names=names, recording="w" * 120 + ".wav"), viewport={"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    last, player = page.locator(".said").last.bounding_box(), page.locator(".player").bounding_box()
    assert last["y"] + last["height"] < player["y"]


def test_paper_shows_what_was_said_and_no_buttons(open_page):
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator(".said:visible").count() == 6
    assert not page.locator("button:visible, input:visible").filter(has_not=page.locator("bdi, .dot")).count()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_ten_hours_of_words_open_and_follow(open_page):
    text = " ".join(f"word{i}" for i in range(100))
    segments = [say(text, 36.0 * i, f"S{i % 4 + 1}", word_s=0.35) for i in range(1000)]
    page = open_page(transcript_of(segments), recorded=False)
    assert page.locator(".w").count() == 100_000
    page.evaluate("document.querySelectorAll('.w')[99_990].click()")
    assert page.locator(".w.now").inner_text() == "word90"
    assert page.locator("#clock").inner_text().startswith("9:59:")
