"""The tables that programs write into Markdown files."""

import json

import blocks
import front_ends
import label_noise_table
import layers
import load_test
import pytest
import sentence_tables
import speed
import tables
from tables import Figure

from speech_intent.paths import ROOT

STORED = [
    *tables.blocks(),
    *speed.blocks(),
    (*load_test.BLOCK, load_test.tables()),
    (*front_ends.BLOCK, front_ends.content()),
    (*layers.BLOCK, layers.content()),
    sentence_tables.block(),
    label_noise_table.block(),
]


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    text = "# Page\n<!-- one: a.py -->\nold\n<!-- end -->\n\n<!-- two: a.py -->\n<!-- end -->\n"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("path", "name", "content"),
    STORED,
    ids=[f"{path.relative_to(ROOT)}, {name}" for path, name, _ in STORED],
)
def test_the_pages_hold_what_the_stored_results_say(path, name, content):
    assert blocks.read_block(path, name) == content


def test_a_block_is_replaced_and_nothing_else(page):
    blocks.write_block(page, "one: a.py", "new \\1 $\n")
    blocks.write_block(page, "two: a.py", "also\n")
    assert page.read_text(encoding="utf-8") == (
        "# Page\n<!-- one: a.py -->\nnew \\1 $\n<!-- end -->\n\n"
        "<!-- two: a.py -->\nalso\n<!-- end -->\n"
    )
    assert blocks.read_block(page, "one: a.py") == "new \\1 $\n"


def test_a_page_without_the_block_is_refused(page):
    before = page.read_bytes()
    with pytest.raises(ValueError, match=r"page\.md has no block 'three: a\.py'"):
        blocks.write_block(page, "three: a.py", "new\n")
    assert page.read_bytes() == before


def test_tables_are_laid_out_in_rows():
    assert blocks.table(["", "b"], [["1", "2"], ["3", ""]]) == [
        "| | b |",
        "|---|---|",
        "| 1 | 2 |",
        "| 3 | |",
    ]


CURVE = {
    "runs": [
        {"clips_per_intent": 12, "accuracy": 0.5, "correct": 5, "n": 10},
        {"clips_per_intent": 12, "accuracy": 0.8, "correct": 8, "n": 10},
        {"clips_per_intent": 25, "accuracy": 0.9, "correct": 9, "n": 10},
        {
            "clips_per_intent": 0,
            "accuracy": 1.0,
            "correct": 10,
            "n": 10,
            "accuracy_interval": [0.7, 1.0],
        },
    ]
}


def test_draws_are_averaged_and_have_a_range_but_no_interval():
    figure = tables.few_clips(CURVE)
    assert figure == Figure(0.65, 13, 20, None, (0.5, 0.8), "2 draws")
    assert tables.cells(figure) == ["0.650", "13/20", "", "0.500 to 0.800 (2 draws)"]


def test_a_training_on_all_clips_has_an_interval_but_no_range():
    figure = tables.all_clips(CURVE)
    assert figure == Figure(1.0, 10, 10, (0.7, 1.0))
    assert tables.cells(figure) == ["1.000", "10/10", "0.700 to 1.000", ""]


@pytest.mark.parametrize("function", [tables.one_test, tables.all_clips, tables.few_clips])
def test_what_was_not_measured_is_said_so(function):
    assert function({}) is None
    assert tables.cells(None) == ["not measured", "", "", ""]
    assert tables.folds({}, "encoder") is None


@pytest.mark.parametrize(
    ("protocol", "n_speakers", "interval", "over"),
    [
        ("leave-one-speaker-out", 2, None, "2 speakers"),
        ("kfold", 0, (0.6, 0.9), "2 folds"),
        ("kfold", 2, None, "2 folds"),  # an interval over clips would be too narrow
    ],
)
def test_folds_have_a_range_and_an_interval_where_no_speakers_are_known(
    protocol, n_speakers, interval, over
):
    row = {
        "accuracy": 0.8,
        "correct": 16,
        "n": 20,
        "accuracy_interval": [0.6, 0.9],
        "runs": [{"accuracy": 0.9, "n": 10}, {"accuracy": 0.7, "n": 10}],
    }
    result = {"protocol": protocol, "speakers": n_speakers, "encoder": row}
    assert tables.folds(result, "encoder") == Figure(0.8, 16, 20, interval, (0.7, 0.9), over)


def test_nothing_breaks_where_nothing_was_measured(tmp_path, monkeypatch):
    for name in ("RESULTS", "SHIPPED"):
        monkeypatch.setattr(tables, name, tmp_path)
    first = tables.figures()
    assert first.count("| not measured | | | | | |") == 4
    assert "M parameters" not in first
    rest = tables.evaluation()
    assert rest.count("| Moonshine, fine-tuned | not measured | | | |") == 4
    assert "frozen" not in rest and "MFCC" not in rest
    for what in ("Hard conditions", "Coverage of the intervals"):
        assert f"{what}: not measured." in rest


def folds_of(accuracy: float) -> dict:
    """Make the result of two folds."""
    runs = [{"accuracy": accuracy, "n": 5}] * 2
    row = {"accuracy": accuracy, "correct": round(10 * accuracy), "n": 10, "runs": runs}
    row["accuracy_interval"] = [0.1, 0.9]
    return {"protocol": "kfold", "speakers": 0, "encoder": row, "MFCC + SVM": row}


def test_people_lead_and_each_classifier_has_its_row(tmp_path, monkeypatch):
    for name in ("RESULTS", "SHIPPED"):
        monkeypatch.setattr(tables, name, tmp_path)
    (tmp_path / "commands-moonshine.json").write_text(json.dumps(folds_of(0.8)))
    (tmp_path / "commands-moonshine-frozen.json").write_text(json.dumps(folds_of(0.6)))
    alone = {"accuracy": 0.5, "correct": 5, "n": 10, "accuracy_interval": [0.2, 0.8]}
    (tmp_path / "bundled-small.json").write_text(json.dumps(alone))
    tasks = [line.split(" | ")[0] for line in tables.figures().splitlines()[2:6]]
    assert [task.split()[1] for task in tasks] == ["spoken", "spoken", "bundled", "the"]
    commands = "| spoken commands (people), five folds |"
    ends = "8/10 | 0.100 to 0.900 | 0.800 to 0.800 (2 folds) |"
    assert f"{commands} 0.800 | {ends} | 0.800 |" in tables.figures()
    rest = tables.evaluation()
    assert f"{commands} Moonshine, fine-tuned | 0.800 | {ends}" in rest
    assert f"{commands} Moonshine, frozen | 0.600 | 6/10 |" in rest
    assert "| small Wav2Vec2, fine-tuned | 0.500 | 5/10 | 0.200 to 0.800 | |" in rest


def test_hard_conditions_are_shares_of_the_clean_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    text = "condition,correct,n,accuracy,low,high\nclean,8,10,0.8,0.5,0.9\nroom,6,10,0.6,0.3,0.8\n"
    (tmp_path / "robustness.csv").write_text(text)
    lines = tables.robustness()
    assert "| clean | 0.800 | 8/10 | 0.500 to 0.900 | 1.000 |" in lines
    assert "| room | 0.600 | 6/10 | 0.300 to 0.800 | 0.750 |" in lines


def test_coverage_is_that_of_tests_with_two_hundred_clips_or_more():
    def row(n: int, share: float) -> dict:
        return {"n": n, **dict.fromkeys(tables.COVERED, share)}

    result = {
        "draws": 1000,
        "independent clips": [row(50, 0.1), row(200, 0.94), row(400, 0.96)],
        "speakers who differ": [{"speakers": 5, "over speakers": 0.85, "over clips": 0.7}],
    }
    lines = tables.coverage(result)
    assert "| independent clips, n 200 to 1,000 | accuracy | 0.940 to 0.960 |" in lines
    speakers = "0.850 drawing speakers, 0.700 drawing clips"
    assert f"| 5 speakers who differ, 20 clips each | f1_macro | {speakers} |" in lines
    assert "(1,000 simulated tests a case)" in lines[0]
