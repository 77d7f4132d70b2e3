"""How far a transcription is, in minutes of audio: a progress artifact, and lines on the terminal."""

import sys
import time
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from pipeline_core.report import escape
from tasks.progress import duration


class AudioProgress:
    """Seconds of audio, done and to do, of the flow run that this is entered in.

    Args:
        audio_s: Seconds to transcribe.
    """

    def __init__(self, audio_s: float) -> None:
        self._audio_s = audio_s
        self._done_s = 0.0
        self._started = time.monotonic()
        self._artifact: UUID | None = None

    def __enter__(self) -> Self:
        created = create_progress_artifact(progress=0.0, key=f"progress-{flow_run.id}", description=self.line())
        assert isinstance(created, UUID)
        self._artifact = created
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        get_run_logger().info(self.line())

    def add(self, audio_s: float, recording: str) -> None:
        """So many more seconds are done, of this recording."""
        self._done_s += audio_s
        line = f"{self.line()}: {recording}"
        print(line, file=sys.stderr, flush=True)
        if self._artifact is None:
            return
        share = min(100.0, 100.0 * self._done_s / self._audio_s) if self._audio_s else 100.0
        try:
            update_progress_artifact(self._artifact, progress=share, description=escape(line))
        except Exception as failure:  # a server that is away for a while costs the watching, not the run
            get_run_logger().warning("the progress artifact can't be updated: %s", failure)

    def line(self) -> str:
        """Such as "12.5 of 60.0 minutes of audio, 14.2 times real time, 3 min left"."""
        parts = [f"{self._done_s / 60:,.1f} of {self._audio_s / 60:,.1f} minutes of audio"]
        elapsed_s = time.monotonic() - self._started
        if self._done_s:
            parts.append(f"{self._done_s / elapsed_s:,.1f} times real time")
            if self._done_s < self._audio_s:
                parts.append(f"{duration((self._audio_s - self._done_s) * elapsed_s / self._done_s)} left")
        return ", ".join(parts)
