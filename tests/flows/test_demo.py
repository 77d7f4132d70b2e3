"""The bundled model over the bundled reviews: the first thing that anyone runs."""

import re

from pipeline_core.sink import OutputFolder


def test_the_bundled_model_classifies_the_bundled_reviews(prefect_server, pipeline_flows, tmp_path):
    out = tmp_path / "out"
    code, text, err = pipeline_flows("classify", "demo:reviews", "--label-column", "label", "--output", out)
    assert code == 0, err
    assert OutputFolder(str(out)).table().num_rows == 133
    (accuracy,) = re.findall(r"^accuracy ([\d.]+)% over 133 rows with a label$", text, re.MULTILINE)
    assert float(accuracy) >= 75
