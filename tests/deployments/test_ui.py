"""Prefect's UI in a browser: the forms people fill in, and what they see of a run while it runs, after, and failed.

With PIPELINE_FLOWS_SCREENSHOTS=$PWD/docs/images it also takes the pictures that the documents show.
"""

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from pipeline_core import DatasetRef, PipelineSpec
from pipeline_core.sink import OutputFolder, OutputRef

from .conftest import write_reviews

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
]

TIMEOUT_MS = 120_000


@pytest.fixture(scope="module")
def installation(installation_on_postgresql):
    """A server on PostgreSQL: SQLite's is unavailable for moments while a page, a worker and its run ask it at once."""
    return installation_on_postgresql


@pytest.fixture(scope="module")
def page(installation):
    """A page of a headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        opened = browser.new_page(viewport={"width": 1200, "height": 1000})
        opened.set_default_timeout(TIMEOUT_MS)
        yield opened
        browser.close()


def picture(page, name: str, height: int | None = None) -> None:
    folder = os.environ.get("PIPELINE_FLOWS_SCREENSHOTS")
    if folder:
        page.set_viewport_size({"width": 1200, "height": height or 1000})
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(folder) / f"{name}.png")
        page.set_viewport_size({"width": 1200, "height": 1000})


def field(page, label: str, place: int = 0):
    """The input below a label; Prefect's form does not tie them together."""
    labels = page.locator("label").filter(has_text=label)
    return labels.nth(place).locator("xpath=following::*[self::textarea or self::input][1]")


def open_form(page, installation, name: str) -> None:
    root = installation.url.removesuffix("/api")
    page.goto(f"{root}/deployments/deployment/{installation.deployment_id(name)}/run")
    page.get_by_text("Parameters", exact=True).wait_for()
    field(page, "Path").wait_for()


def artifacts_of(installation, run: str) -> dict[str, str]:
    found = installation.api("POST", "/artifacts/filter", {"flow_runs": {"id": {"any_": [run]}}})
    return {artifact["type"]: artifact["id"] for artifact in found}


def open_artifact(page, installation, run: str, kind: str) -> None:
    page.goto(f"{installation.url.removesuffix('/api')}/artifacts/artifact/{artifacts_of(installation, run)[kind]}")


def runs_of(installation, name: str) -> list[dict]:
    chosen = {"deployments": {"id": {"any_": [installation.deployment_id(name)]}}}
    return [r for r in installation.api("POST", "/flow_runs/filter", chosen) if not r["auto_scheduled"]]


def test_the_form_of_the_transcription_asks_for_recordings(page, installation):
    open_form(page, installation, "meeting-transcription/hourly")
    for label in ("Recordings", "Output", "Settings", "Language", "Speakers"):
        page.locator("label").filter(has_text=label).first.wait_for()
    assert field(page, "Recordings").input_value() == f"{installation.data}/recordings"
    picture(page, "form-hourly", height=1900)


@pytest.mark.parametrize("name", ["imdb-classification/nightly", "batch-inference/ad-hoc"])
def test_a_form_asks_in_words_and_has_what_the_deployment_sets(page, installation, name):
    open_form(page, installation, name)
    for label in ("Dataset", "Output", "Pipeline", "Task", "Model", "Rows per shard"):
        page.locator("label").filter(has_text=label).first.wait_for()
    page.get_by_text("Rows to take, at most, counted after where.").wait_for()
    assert page.locator("label").filter(has_text=re.compile(r"Token\b")).count() == 0
    places = [field(page, "Path", place).input_value() for place in (0, 1)]
    outputs = installation.data / "outputs"
    assert places in (["demo:reviews", f"{outputs}/ad-hoc"], [f"{outputs}/imdb", "stanfordnlp/imdb"])
    picture(page, f"form-{name.split('/')[1]}", height=1900)


def test_fields_within_a_group_come_in_the_order_of_their_model(page, installation):
    open_form(page, installation, "batch-inference/ad-hoc")
    labels = [text.strip() for text in page.locator("label").all_inner_texts()]
    schemas = [model.model_json_schema()["properties"] for model in (DatasetRef, OutputRef, PipelineSpec)]
    named = Counter(name for fields in schemas for name in fields)
    for fields in schemas:
        titles = [field["title"] for name, field in fields.items() if named[name] == 1]
        seen = [title for label in labels for title in titles if re.fullmatch(rf"{title}( *\(Optional\))?", label)]
        assert seen == titles


def test_a_wrong_value_in_the_form_starts_nothing_and_a_right_one_runs_to_its_end(page, installation):
    reviews = write_reviews(installation.data / "in" / "form.csv", 400)
    output = installation.data / "from-the-form"
    before = [run["id"] for run in runs_of(installation, "batch-inference/ad-hoc")]
    open_form(page, installation, "batch-inference/ad-hoc")
    field(page, "Path").fill(str(reviews))
    field(page, "Id column").fill("key")
    field(page, "Path", 1).fill(str(output))
    field(page, "Limit").fill("-5")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("Validation failed for field 'dataset.limit'").first.wait_for()
    picture(page, "form-refused")
    assert [run["id"] for run in runs_of(installation, "batch-inference/ad-hoc")] == before

    field(page, "Limit").fill("300")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("scheduled to start").first.wait_for()
    (run,) = [run for run in runs_of(installation, "batch-inference/ad-hoc") if run["id"] not in before]
    installation.start_workers()
    state, message = installation.wait_for_state(run["id"], "Completed", "Failed", "Crashed")
    assert (state, message) == ("Completed", f"300 of 300 rows committed, 0 quarantined; in {output}")
    assert OutputFolder(str(output)).table().column("id").to_pylist() == [f"r{row:06d}" for row in range(300)]

    page.goto(f"{installation.url.removesuffix('/api')}/runs/flow-run/{run['id']}")
    page.get_by_text("Artifacts", exact=True).click()
    page.get_by_text("300 rows answered, 0 quarantined").first.wait_for()
    picture(page, "run-finished", height=1150)
    open_artifact(page, installation, run["id"], "markdown")
    page.get_by_text("rows a second").first.wait_for()
    picture(page, "report", height=1300)


def test_a_page_of_a_run_shows_how_far_it_is_and_of_a_failed_one_why(page, installation):
    many = write_reviews(installation.data / "in" / "many.csv", 20_000)
    empty = installation.data / "in" / "empty.csv"
    empty.write_text("key,text\n" + "".join(f"e{row},\n" for row in range(50)))
    given = {"spec": {"task": "text-classification", "model": "demo:sentiment"}, "rows_per_shard": 1000}
    failing, running = (
        installation.run(
            "batch-inference/ad-hoc",
            {
                **given,
                "dataset": {"path": str(path), "column": "text"},
                "output": {"path": str(installation.data / path.stem)},
            },
        )
        for path in (empty, many)
    )
    root = installation.url.removesuffix("/api")
    state, message = installation.wait_for_state(failing, "TooManyBadRows", "Completed", "Failed")
    assert state == "TooManyBadRows"
    assert message.startswith("0 of 50 rows committed, 0 quarantined; rerun to resume; FailureBudgetExceededError: ")
    page.goto(f"{root}/runs/flow-run/{failing}")
    page.get_by_text("TooManyBadRows").first.wait_for()
    page.get_by_text("Details", exact=True).click()
    page.get_by_text("rerun to resume").first.wait_for()
    picture(page, "run-failed")

    installation.wait_for_state(running, "Running")
    shards = installation.data / "many" / "_manifests"
    installation.wait_for(lambda: len(list(shards.glob("*.json"))) >= 3, "three shards")
    open_artifact(page, installation, running, "progress")
    page.get_by_text("of 20,000 rows").first.wait_for()
    picture(page, "run-progress")
    installation.api("POST", f"/flow_runs/{running}/set_state", {"state": {"type": "CANCELLING"}})
    installation.wait_for_state(running, "Cancelled")
    folder = OutputFolder(str(installation.data / "many"))
    assert not (installation.data / "many" / "_lease.json").exists()
    assert len(folder.manifests(folder.require_plan())) < 20
