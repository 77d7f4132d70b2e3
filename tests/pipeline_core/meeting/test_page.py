"""The page as a file: self-contained, escaped, its own policy, colours that everybody can tell apart."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest
from meetings import HOSTILE, a_meeting, say, transcript_of

from pipeline_core.meeting.page import PALETTE, to_html
from pipeline_core.meeting.transcript import Segment

# Machado, Oliveira, Fernandes (2009): full protanopia, deuteranopia and tritanopia, over linear RGB.
SIGHT = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text of each script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.text: dict[str, str] = {}
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        self.text[self._open] = self.text.get(self._open, "") + data


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    light, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (one, other)), reverse=True)
    return light / dark


def oklab(rgb: np.ndarray) -> np.ndarray:
    cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]]
    cones += [[0.0883024619, 0.2817188376, 0.6299787005]]
    lab = [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099]]
    lab += [[0.0259040371, 0.7827717662, -0.808675766]]
    return np.array(lab) @ np.cbrt(np.array(cones) @ np.clip(rgb, 0, 1))


def test_every_word_is_on_the_page_with_its_times():
    transcript = a_meeting()
    words = [attrs for tag, attrs in Elements(to_html(transcript)).found if attrs.get("class") == "w"]
    said = [word for segment in transcript.segments for word in segment.words]
    assert [(float(w["data-s"]), float(w["data-e"])) for w in words] == [
        (pytest.approx(word.start_s, abs=1e-3), pytest.approx(word.end_s, abs=1e-3)) for word in said
    ]


def test_nothing_is_loaded_from_elsewhere():
    page = Elements(to_html(a_meeting(), "../../recordings/a%20b.wav"))
    loaded = {
        (tag, attrs[key]) for tag, attrs in page.found for key in ("src", "href", "data", "srcset") if key in attrs
    }
    assert {url for tag, url in loaded if tag != "a"} == {"data:,", "../../recordings/a%20b.wav"}
    assert all(url.startswith("#t=") for tag, url in loaded if tag == "a")
    assert "http" not in page.text["style"] + page.text["script"]


def test_the_policy_allows_the_pages_own_script_and_style_and_no_other():
    page = Elements(to_html(a_meeting()))
    policy = next(attrs["content"] for tag, attrs in page.found if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.text[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
        assert sum(found == tag for found, _ in page.found) == 1
    assert not [attrs for _, attrs in page.found if any(name == "style" or name.startswith("on") for name in attrs)]


@pytest.mark.parametrize("hostile", [HOSTILE, '"><img src=x onerror=alert(1)>', "'-alert(1)-'", "{{ 7 * 7 }}{% raw %}"])
def test_what_comes_from_outside_is_text_wherever_it_stands(hostile):
    harmless = Elements(to_html(transcript_of([say("x", 0, "S1"), say("y", 5, "S2")], names={"S1": "n"}), "a"))
    transcript = transcript_of(
        [say(hostile.replace(" ", "_"), 0.0, hostile), say("y", 5, "S2")],
        names={"S2": hostile, hostile: hostile},
        recording=f"{hostile}.wav",
        language=hostile,
        model=hostile,
        created_with=hostile,
    )
    page = Elements(to_html(transcript, hostile))
    assert [tag for tag, _ in page.found] == [tag for tag, _ in harmless.found]
    assert page.text["script"] == harmless.text["script"]
    assert page.text["title"] == hostile.split("/")[-1]


def test_a_segment_without_word_times_is_one_piece_that_can_be_clicked():
    page = Elements(to_html(transcript_of([Segment(text="all at once", start_s=1.0, end_s=4.0)])))
    assert [attrs["data-e"] for _, attrs in page.found if attrs.get("class") == "w"] == ["4.000"]


def test_without_speakers_there_is_no_chart_and_no_empty_heading():
    tags = [tag for tag, _ in Elements(to_html(transcript_of([say("who knows", 0.0)]))).found]
    assert not {"table", "h2"} & set(tags)


def test_a_silent_recording_has_a_page_that_says_so():
    assert "Nobody speaks" in to_html(transcript_of([]))


@pytest.mark.parametrize(("theme", "papers"), [(0, ("#fbfaf7", "#ffffff")), (1, ("#16181d", "#1e2128"))])
def test_speakers_colours_can_be_read_and_told_apart_by_everybody(theme, papers):
    style = Elements(to_html(a_meeting())).text["style"]
    assert all(re.search(rf"light-dark\(.*{paper}", style) for paper in papers)
    colours = [pair[theme] for pair in PALETTE]
    assert min(contrast(colour, paper) for colour in colours for paper in papers) >= 4.5
    for sight, matrix in SIGHT.items():
        seen = [oklab(np.array(matrix) @ linear(colour)) for colour in colours]
        apart = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in combinations(range(8), 2)}
        assert min(distance for pair, distance in apart.items() if max(pair) < 4) >= 0.09, sight
        assert min(apart.values()) >= 0.05, sight
