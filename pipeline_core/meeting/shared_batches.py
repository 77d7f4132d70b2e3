"""Which parts of a run's recordings fill batches together."""

from collections.abc import Iterable, Sequence

from pipeline_core.meeting.parts import Part
from pipeline_core.meeting.recordings import RecordingFile
from pipeline_core.meeting.transcription import Job, has_part
from pipeline_core.storage import Storage


class SharedBatches:
    """Which parts are transcribed along with which, in order: as many as the memory for one part holds.

    Args:
        storage: The output; parts that are there are left out.
        planned: The recordings to come, with their parts.
        job: What is done with them.
    """

    def __init__(self, storage: Storage, planned: Iterable[tuple[RecordingFile, Sequence[Part]]], job: Job) -> None:
        groups: list[list[tuple[RecordingFile, Part]]] = []
        room_s = 0.0
        for recording, parts in planned:
            for part in parts:
                if has_part(storage, recording, part, job):
                    continue
                if not groups or part.duration_s > room_s:
                    groups.append([])
                    room_s = job.settings.part_s
                groups[-1].append((recording, part))
                room_s -= part.duration_s
        self._others = {self._key(*first): tuple(others) for first, *others in groups}
        self._joining = {self._key(*other) for others in self._others.values() for other in others}

    def others(self, recording: RecordingFile, part: Part) -> tuple[tuple[RecordingFile, Part], ...]:
        """Those that are transcribed along with a part."""
        return self._others.get(self._key(recording, part), ())

    def joins(self, recording: RecordingFile, part: Part) -> bool:
        """Whether a part is transcribed along with one before it."""
        return self._key(recording, part) in self._joining

    @staticmethod
    def _key(recording: RecordingFile, part: Part) -> tuple[str, int]:
        return recording.content_id, part.index
