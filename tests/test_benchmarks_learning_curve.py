"""Draws of training clips, and what a folder of finished runs takes."""

import json

import learning_curve
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from speech_intent.recipes import resolve


def table(labels: str) -> Dataset:
    """Make a table whose rows are numbered, with a label a letter."""
    names = sorted(set(labels))
    features = Features({"label": ClassLabel(names=names), "row": Value("int64")})
    rows = {"label": [names.index(label) for label in labels], "row": list(range(len(labels)))}
    return Dataset.from_dict(rows, features=features)


@pytest.fixture
def tables() -> DatasetDict:
    return DatasetDict(
        train=table("abcabcabcabcaaaa"), validation=table("abc" * 6), test=table("abc" * 3)
    )


def test_a_draw_has_as_many_clips_of_each_intent_in_their_order(tables):
    drawn = learning_curve.draw(tables["train"], 3, seed=0)
    labels = drawn["label"]
    assert [labels.count(label) for label in range(3)] == [3, 3, 3]
    assert drawn["row"] == sorted(set(drawn["row"]))
    names = "abcabcabcabcaaaa"
    assert all("abc"[label] == names[row] for label, row in zip(labels, drawn["row"], strict=True))


def test_a_draw_takes_what_there_is_and_zero_takes_all(tables):
    drawn = learning_curve.draw(tables["train"], 5, seed=0)
    assert [drawn["label"].count(label) for label in range(3)] == [5, 4, 4]
    assert learning_curve.draw(tables["train"], 0, seed=0)["row"] == list(range(16))


def test_a_draw_depends_on_its_seed_alone(tables):
    rows = [learning_curve.draw(tables["train"], 2, seed)["row"] for seed in (0, 0, 1, 2)]
    assert rows[0] == rows[1]
    assert len({tuple(row) for row in rows}) == 3


def test_few_clips_are_validated_on_few(tables):
    few = learning_curve.draw_tables(tables, 2, seed=0)
    assert {name: len(part) for name, part in few.items()} == {
        "train": 6,
        "validation": 12,
        "test": 9,
    }
    whole = learning_curve.draw_tables(tables, 0, seed=0)
    assert {name: len(part) for name, part in whole.items()} == {
        "train": 16,
        "validation": 18,
        "test": 9,
    }
    assert len(tables["train"]) == 16  # what was given stays


def finished(folder, **changed) -> dict:
    """Write the result of a finished run."""
    result = {
        **dict.fromkeys(learning_curve.KEPT),
        "clips_per_intent": 12,
        "n_train": 108,
        "seed": 0,
        "accuracy": 0.5,
        "confusion": [[1]],
        **changed,
    }
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(result))
    return result


def test_a_finished_run_is_kept(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(
        learning_curve.training, "fine_tune", lambda *_, **__: pytest.fail("trained again")
    )
    result = finished(tmp_path / "12-0")
    recipe = resolve("bundled")
    assert learning_curve.train_and_score(recipe, tables, 12, tmp_path / "12-0") == result


def test_results_are_collected_by_size_and_seed(tmp_path):
    finished(tmp_path / "all-0", clips_per_intent=0, n_train=940)
    finished(tmp_path / "12-1", seed=1)
    finished(tmp_path / "12-0")
    learning_curve.write_results("small", tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["encoder"] == "small"
    order = [(run["clips_per_intent"], run["seed"]) for run in results["runs"]]
    assert order == [(12, 0), (12, 1), (0, 0)]
    assert set(results["runs"][0]) == set(learning_curve.KEPT)


@pytest.fixture
def call(tables, tmp_path, monkeypatch):
    """Call the program with options; nothing is trained. Give its status."""
    named = DatasetDict(
        {
            name: part.add_column("file_name", [f"{row}.wav" for row in part["row"]]).add_column(
                "speaker", [""] * len(part)
            )
            for name, part in tables.items()
        }
    )
    loaded = learning_curve.data.Splits(named, "given", named)
    monkeypatch.setattr(learning_curve.data, "load_data", lambda recipe: loaded)

    def train_and_score(recipe, tables, per_intent, folder):
        if (folder / "metrics.json").exists():
            return json.loads((folder / "metrics.json").read_text())
        return finished(folder, clips_per_intent=per_intent, seed=recipe.numbers.seed)

    monkeypatch.setattr(learning_curve, "train_and_score", train_and_score)

    def run(*options: str) -> int:
        arguments = ["learning_curve.py", "--output-dir", str(tmp_path / "out"), *options]
        monkeypatch.setattr("sys.argv", arguments)
        return learning_curve.main()

    return run


def test_more_sizes_and_draws_may_join_a_folder(call, tmp_path):
    assert call("--clips", "12") == 0
    assert call("--clips", "12", "25", "--draws", "2") == 0
    runs = json.loads((tmp_path / "out" / "results.json").read_text())["runs"]
    assert sorted((run["clips_per_intent"], run["seed"]) for run in runs) == [
        (12, 0),
        (12, 1),
        (25, 0),
        (25, 1),
    ]


@pytest.mark.parametrize(
    ("options", "named"),
    [(("--learning-rate", "0.01"), "learning_rate"), (("--encoder", "random"), "encoder")],
)
def test_a_folder_of_other_numbers_is_refused(call, options, named, capsys):
    assert call("--clips", "12") == 0
    capsys.readouterr()
    assert call("--clips", "12", *options) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("error: ") and named in err
