"""Of boxes that overlap too much, the best stays."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_core.mask_suppression import best_boxes

BOX = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 20))


def overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(BOX, st.integers(0, 9)), max_size=12), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_a_box_goes_exactly_if_a_better_one_that_stays_overlaps_it_too_much(rows, threshold):
    boxes = [(left, top, left + width, top + height) for (left, top, width, height), _ in rows]
    scores = torch.tensor([float(score) for _, score in rows])
    kept = best_boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), scores, threshold).tolist()
    wanted: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda index: -scores[index].item()):
        if all(overlap(boxes[index], boxes[better]) <= threshold for better in wanted):
            wanted.append(index)
    assert kept == wanted
