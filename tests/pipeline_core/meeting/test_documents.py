"""Markdown and plain text: all that was said, who said it, and no markup but ours."""

from markdown_it import MarkdownIt
from meetings import HOSTILE, a_meeting, say, transcript_of

from pipeline_core.meeting.documents import to_markdown, to_text
from pipeline_core.meeting.paragraphs import clock, paragraphs, shares


def test_both_documents_say_it_all_with_names_and_times():
    transcript = a_meeting(names={"S1": "Ana"})
    for document in (to_markdown(transcript), to_text(transcript)):
        for segment in transcript.segments:
            assert segment.text in document
        assert document.count("Ana") >= 2
        assert "0:20" in document
    assert "_overlap_" in to_markdown(transcript)
    assert "[? mumble mumble the the ?]" in to_text(transcript)


def test_what_is_said_is_text_in_the_rendered_markdown():
    texts = ["- item", "1. first", "+ plus", "# head", f"<b>{HOSTILE}", "[a](javascript:x)", "a | b", "```", "&lt;"]
    transcript = transcript_of(
        [say(text, 100.0 * i, f"S{i % 2 + 1}") for i, text in enumerate(texts)],
        names={"S1": "*star* <i>", "S2": "| pipe\n\n# head"},
        recording="](x) <script>.wav",
    )
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(to_markdown(transcript))
    for tag in ("<li", "<h2", "<script", "<a ", "<b>", "<i>", "<code"):
        assert tag not in rendered
    assert rendered.count("<h1>") == 1
    assert rendered.count("<tr>") == 3
    for text in ("- item", "1. first", "+ plus", "# head", "a | b", "&amp;lt;", "*star* &lt;i&gt;"):
        assert text in rendered


def test_text_is_on_one_line_a_paragraph_whatever_is_said():
    transcript = transcript_of([say("one\u2028two\x1b[31m", 0.0, "S1"), say("three", 9.0, "S2")], names={"S1": "A\nB"})
    assert to_text(transcript) == "[0:00] A B: one two [31m\n\n[0:09] S2: three\n"


def test_a_document_does_not_say_where_the_models_folder_is():
    transcript = a_meeting(model="/home/somebody/models/whisper-base")
    assert "somebody" not in to_markdown(transcript)
    assert "model whisper-base" in to_markdown(transcript)
    assert "openai/whisper-base" in to_markdown(a_meeting())


def test_a_silent_recording_has_a_document_too():
    assert to_text(transcript_of([])) == ""
    assert to_markdown(transcript_of([])).startswith("# meeting.wav\n")


def test_a_paragraph_ends_with_its_speaker_or_after_a_silence_or_a_minute():
    segments = [say("a", 0, "S1"), say("b", 1, "S1"), say("c", 2, "S2"), say("d", 9, "S2")]
    segments += [say("e", 10 + 3 * i, "S2") for i in range(25)]
    grouped = paragraphs(segments)
    assert [paragraph.text for paragraph in grouped[:2]] == ["a b", "c"]
    assert sum(len(paragraph.segments) for paragraph in grouped) == len(segments)
    assert len(grouped) == 4


def test_shares_add_up_and_the_one_who_talks_most_is_first():
    talked = shares(a_meeting())
    assert [share.speaker for share in talked] == ["S2", "S1", "S3"]
    assert sum(share.share for share in talked) == 1.0


def test_times_have_hours_where_they_need_them():
    assert (clock(59.9), clock(3599), clock(3600), clock(5, hours=True)) == ("0:59", "59:59", "1:00:00", "0:00:05")
