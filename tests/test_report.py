import base64
import re

import pandas as pd
import pytest

from speech_intent import metrics, report
from speech_intent.report import Grouping

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)


def clips(*rows) -> pd.DataFrame:
    """Rows of intent, answer, speaker and seconds."""
    return pd.DataFrame(rows, columns=["intent", "predicted", "speaker", "seconds"])


@pytest.fixture
def predictions() -> pd.DataFrame:
    """Ten clips of two speakers, seven answered correctly."""
    return clips(
        *[("go", "go", "ann", 1.0)] * 4,
        *[("stop", "stop", "ben", 2.0)] * 3,
        *[("stop", "go", "ben", 3.0)] * 2,
        ("go", "stop", "ben", 1.5),
    )


@pytest.fixture
def result(predictions) -> dict:
    labels = sorted(set(predictions["intent"]))
    truth, predicted = (predictions[column].map(labels.index) for column in ("intent", "predicted"))
    return {
        **metrics.classification_metrics(truth, predicted, labels),
        "calibration_error": 0.123,
        "model": "some/model",
        "data": "bundled",
        "split": "test (given)",
        "seed": 0,
        "note": "",
        "threshold": None,
        "says_unknown": False,
        "unknown_test": [],
    }


@pytest.fixture
def page(tmp_path, predictions, result):
    """Write a page, with other results or groupings, and give its text."""
    pictures = {name: tmp_path / f"{name}.png" for name in ("confusion_matrix", "reliability")}
    for path in pictures.values():
        path.write_bytes(PIXEL)

    def write(groupings=(), predictions=predictions, **changed) -> str:
        path = tmp_path / "report.html"
        report.write_report(result | changed, predictions, pictures, groupings, path)
        return path.read_text(encoding="utf-8")

    return write


def pictures_on(page: str) -> list[str]:
    return re.findall(r'<img src="data:image/png;base64,[\w+/=]+" alt="([^"]*)">', page)


def test_the_headline_says_how_many_were_understood(page):
    text = " ".join(page().split())
    assert "<b>70.0 %</b> of 10 requests were understood (7 of 10;" in text
    assert "between 40 % and 89 % in 95 of 100 such tests" in text  # Wilson's interval of 7/10
    assert (
        "Intervals: Wilson's for accuracy and what equals it, else the bootstrap over clips."
        in (text)
    )


def test_the_page_says_what_was_tested_on_what(page):
    text = page()
    assert "<h1>Test of some/model</h1>" in text
    assert '"note">model: some/model; data: bundled; split: test (given); seed: 0</p>' in text
    assert "<h1>Test of small</h1>" in page(model=None, encoder="small")


def test_the_page_fetches_nothing(page):
    text = page(report.group(clips(("go", "go", "ann", 1.0), ("go", "stop", "ben", 2.0))))
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!data:)|@import|url\(|<script", text)
    assert "$" not in text


def test_the_commonest_mistakes_are_named_first():
    rare = [(f"rare {i}", "go", "", 1.0) for i in range(9)]
    table = report.confusions(
        clips(
            *rare,
            *[("stop", "go", "", 1.0)] * 2,
            *[("go", "stop", "", 1.0)] * 3,
            *[("go", "go", "", 1.0)] * 9,
        )
    )
    mistakes = [(row.Index, row.predicted, row.clips) for row in table.itertuples()]
    assert mistakes[:3] == [("go", "stop", 3), ("stop", "go", 2), ("rare 0", "go", 1)]
    assert len(mistakes) == 8


def test_a_model_without_mistakes_has_no_confusions(page):
    assert len(report.confusions(clips(("go", "go", "", 1.0)))) == 0
    assert "What is taken for what" in page(predictions=clips(("go", "go", "", 1.0)))


def test_every_average_stands_beside_its_count_and_its_own_interval(result):
    table = report.averages(result)
    assert list(table.index) == [
        "accuracy",
        "precision_micro",
        "precision_macro",
        "precision_weighted",
        "recall_micro",
        "recall_macro",
        "recall_weighted",
        "f1_micro",
        "f1_macro",
        "f1_weighted",
    ]
    assert set(table["k/n"]) == {"7/10"}
    # go: 4 of 5, 6 answered so; stop: 3 of 5, 4 answered so
    assert table.loc["precision_macro", "figure"] == pytest.approx((4 / 6 + 3 / 4) / 2)
    for name in table.index:
        assert table.loc[name, ["low", "high"]].tolist() == result[f"{name}_interval"]


def test_what_a_threshold_does_is_said(page):
    text = page(says_unknown=True, coverage=0.8, accuracy_answered=0.625)
    assert "On average a score is 12.3 points away from the share that is right." in text
    assert (
        "What is too unlike the taught requests is called unknown: 80 % of these clips are "
        "answered, 62.5 % of those rightly."
    ) in text


def test_a_model_without_a_threshold_answers_everything(page):
    assert "The model always answers." in page()


def test_a_threshold_that_withholds_everything(page):
    assert "0 % of these clips are answered, 0.0 % of those" in page(
        says_unknown=True, coverage=0.0
    )


def test_clips_are_grouped_by_what_is_known_of_them(predictions):
    by_duration, by_speaker = report.group(predictions)
    assert (by_duration.name, by_duration.title) == ("by_duration", "by duration, seconds")
    assert by_duration.table["n"].sum() == 10
    assert (by_speaker.name, by_speaker.title) == ("by_speaker", "by speaker, weakest first")
    assert list(by_speaker.table.index) == ["ben", "ann"]
    assert list(by_speaker.table["correct"]) == [3, 4]


def test_unknown_speakers_are_no_group_and_conditions_are_one(predictions):
    conditions = metrics.accuracy_by(predictions.assign(condition="room"), ["condition"])
    groupings = report.group(predictions.assign(speaker=""), conditions)
    assert [grouping.name for grouping in groupings] == ["by_condition", "by_duration"]
    assert groupings[0].table is conditions


def test_of_many_speakers_the_weakest_are_shown():
    rows = [(f"{i:02d}", "go", "go", 1.0) for i in range(50)]
    rows += [(f"{i:02d}", "go", "stop", 1.0) for i in range(45, 50)]
    frame = pd.DataFrame(rows, columns=["speaker", "intent", "predicted", "seconds"])
    table = report.group(frame)[1].table
    assert len(table) == 40
    assert set(table.index[:5]) == {"45", "46", "47", "48", "49"}


def test_the_page_shows_what_this_run_drew_and_no_older_picture(tmp_path, page, predictions):
    (tmp_path / "by_engine.png").write_bytes(PIXEL)
    (tmp_path / "robustness.csv").write_text("condition,correct,n,accuracy,low,high\n")
    text = page(report.group(predictions))
    assert pictures_on(text) == ["confusion matrix", "reliability", "by duration", "by speaker"]
    assert "by condition" not in text


def test_a_title_is_no_file_name(tmp_path, predictions):
    table = metrics.accuracy_by(predictions, ["speaker"])
    drawn = report.draw([Grouping("by_speaker", "by a/b: $5_or_$6, 100 %", table)], tmp_path)
    assert drawn == [tmp_path / "by_speaker.png"]
    assert drawn[0].read_bytes().startswith(b"\x89PNG")


def test_names_out_of_data_are_no_markup(page):
    tag = "<script>alert('x')</script> & $5_or_$6"
    odd = clips((tag, "go", "", 1.0), ("go", "go", "", 1.0))
    labels = ["go", tag]
    scores = metrics.classification_metrics([1, 0], [0, 0], labels)
    text = page(predictions=odd, model=tag, data=tag, per_class=scores["per_class"])
    assert "<script>" not in text
    # twice as title, once as model and once as data, in both tables of intents
    assert text.count("&lt;script&gt;alert(") == 6
    assert text.count("&amp; $5_or_$6") == 6


def test_the_page_says_where_no_person_was_heard(page):
    text = page(synthetic={"train": [9, 9], "validation": [2, 2], "scored": [10, 10]})
    assert "<p>No person was heard in training: all 9 training clips are synthetic. All 10 " in text
    assert "person was heard" not in page()


def test_what_was_never_taught_is_a_table_by_kind(page):
    row = {"kind": "other <sentences>", "n": 8, "accepted": 2, "share": 0.25, "auroc": 0.875}
    text = page(unknown_test=[row])
    assert "other &lt;sentences&gt;" in text and "0.875" in text
    assert "Not measured." in page()
