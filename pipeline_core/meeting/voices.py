"""Group voice embeddings by speaker, in memory that does not grow with the square of the recording's length."""

import numpy as np
from numpy.typing import NDArray

# Halfway between where AMI's far-field speakers fall apart and where they run together.
SAME_VOICE_DISTANCE = 0.55

# Odd sounds add up: what is too little for a voice grows with the recording, up to some six seconds of speech.
_LEAST_EMBEDDINGS = 3
_LEAST_SHARE = 0.01
_LEAST_AT_MOST = 12
_MOST_CLUSTERED = 3_000


def group_voices(embeddings: NDArray[np.float32], speakers: int | None = None) -> NDArray[np.int64]:
    """Number each embedding by its speaker.

    Average-linkage clustering over cosine distances, as pyannote's pipelines have it. Of a long recording, evenly
    spaced embeddings are clustered and the others go to the nearest speaker. Where the number of speakers is not
    known, voices heard for only a few seconds in all go to the speaker whose voice is most alike.

    Args:
        embeddings: ``(n, dimensions)``, one for each window of speech.
        speakers: How many speakers there are; None to find out.

    Returns:
        ``(n,)`` numbers from 0.
    """
    from sklearn.cluster import AgglomerativeClustering

    count = len(embeddings)
    if count < 2 or speakers == 1:
        return np.zeros(count, np.int64)
    voices = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)
    some = np.unique(np.linspace(0, count - 1, min(count, _MOST_CLUSTERED)).astype(int))
    clustering = AgglomerativeClustering(
        n_clusters=None if speakers is None else min(speakers, len(some)),
        distance_threshold=SAME_VOICE_DISTANCE if speakers is None else None,
        metric="cosine",
        linkage="average",
    )
    labels = clustering.fit_predict(voices[some])
    names, sizes = np.unique(labels, return_counts=True)
    least = min(max(_LEAST_EMBEDDINGS, round(_LEAST_SHARE * len(some))), _LEAST_AT_MOST)
    kept = names if speakers is not None else names[sizes >= least]
    if not len(kept):
        kept = names[[int(sizes.argmax())]]
    centres = np.stack([voices[some][labels == name].mean(axis=0) for name in kept])
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    numbers = (voices @ centres.T).argmax(axis=1).astype(np.int64)
    is_kept = np.isin(labels, kept)
    numbers[some[is_kept]] = np.searchsorted(kept, labels[is_kept])
    return np.asarray(numbers)
