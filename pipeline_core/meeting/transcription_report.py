"""What a transcription run did, as a line and as Markdown."""

from pipeline_core.meeting.transcription import TranscriptionSummary
from pipeline_core.report import escape


def transcription_headline(summary: TranscriptionSummary) -> str:
    """Such as "3 recordings transcribed (1.2 h of audio, 14.0 h an hour), 12 were there (8.0 h), 1 failed"."""
    hours = summary.audio_s / 3600
    speed = summary.audio_s / summary.seconds if summary.seconds else 0.0
    return (
        f"{len(summary.transcribed):,} recordings transcribed ({hours:,.2f} h of audio, {speed:,.1f} h an hour), "
        f"{len(summary.cached):,} were there ({summary.cached_s / 3600:,.2f} h), {len(summary.failed):,} failed; "
        f"in {summary.output}"
    )


def markdown_summary(summary: TranscriptionSummary) -> str:
    """The run's figures, each transcript with a link to its page, and what failed."""
    lines = ["# Transcripts", "", escape(transcription_headline(summary)), ""]
    languages = ", ".join(f"{language} {count}" for language, count in summary.languages.items())
    lines += [f"Languages: {escape(languages) or 'none'}.", ""]
    lines += ["| recording | minutes | speech | uncertain s | language | speakers | |", "|---|---|---|---|---|---|---|"]
    for state, manifests in (("new", summary.transcribed), ("was there", summary.cached)):
        for manifest in manifests:
            page = f"{summary.output.rstrip('/')}/{manifest.name}/transcript.html"
            share = manifest.speech_s / manifest.duration_s if manifest.duration_s else 0.0
            lines.append(
                f"| [{escape(manifest.recording)}]({escape(page)}) | {manifest.duration_s / 60:.1f} | {share:.0%} "
                f"| {manifest.uncertain_s:.1f} | {manifest.language or ''} "
                f"| {escape(', '.join(manifest.speakers))} | {state} |"
            )
    noted = [manifest for manifest in (*summary.transcribed, *summary.cached) if manifest.speakers_note]
    if noted:
        lines += ["", "## How sure the speakers are", ""]
        lines += [f"- {escape(manifest.recording)}: {escape(manifest.speakers_note or '')}" for manifest in noted]
    if summary.failed:
        lines += ["", "## Without a transcript", ""]
        lines += [f"- {escape(failed.recording)}: {escape(failed.error)}" for failed in summary.failed]
    return "\n".join(lines) + "\n"
