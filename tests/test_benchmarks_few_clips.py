"""Few clips with and without sentences: who teaches, who tests, and what is left out."""

import few_clips
import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def split_table() -> pd.DataFrame:
    rows = [
        {"intent": intent, "split": split, "speaker": split}
        for split, n in {"train": 8, "validation": 6, "test": 5}.items()
        for intent in ("on", "off")
        for _ in range(n)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def speaker_table() -> pd.DataFrame:
    rows = [
        {"intent": intent, "split": "", "speaker": speaker}
        for speaker in ("ann", "ben", "cy")
        for intent in ("on", "off")
        for _ in range(10)
    ]
    return pd.DataFrame(rows)


def test_a_draw_takes_clips_of_train_and_tests_on_the_test_split(split_table):
    drawn = list(few_clips.draws(split_table, 3, n_draws=2))
    assert [draw.name for draw in drawn] == ["0", "1"]
    for draw in drawn:
        taught = split_table.loc[draw.train]
        assert taught["intent"].value_counts().to_dict() == {"on": 3, "off": 3}
        assert set(taught["split"]) == {"train"}
        assert set(split_table.loc[draw.validation, "split"]) == {"validation"}
        assert len(draw.validation) == 8
        assert list(draw.test) == split_table.index[split_table["split"] == "test"].tolist()
    assert set(drawn[0].train) != set(drawn[1].train)


def test_without_a_test_split_a_speaker_teaches_and_the_others_test(speaker_table):
    drawn = list(few_clips.draws(speaker_table, 5, n_draws=1))
    assert [draw.name for draw in drawn] == ["ann", "ben", "cy"]
    for draw in drawn:
        taught = speaker_table.loc[draw.train]
        assert taught["intent"].value_counts().to_dict() == {"on": 5, "off": 5}
        assert set(taught["speaker"]) == {draw.name}
        assert set(speaker_table.loc[draw.validation, "speaker"]) == {draw.name}
        assert not set(draw.train) & set(draw.validation)
        assert len(draw.test) == 40
        assert draw.name not in set(speaker_table.loc[draw.test, "speaker"])


def test_no_clips_are_sentences_alone(speaker_table):
    assert [len(draw.train) for draw in few_clips.draws(speaker_table, 0, 1)] == [0, 0, 0]


def test_voices_of_the_bundled_test_split_are_left_out():
    said = pd.DataFrame(
        {
            "engine": ["espeak-ng", "espeak-ng", "espeak-ng", "piper", "flite", "festival"],
            "speaker": [
                "espeak-ng-en-us+Hugo-92",  # in the test split, whatever its size
                "espeak-ng-en-gb-x-gbcwmd+hugo-110",  # the same throat with another accent
                "espeak-ng-en-us+m1-100",
                "piper-en-us-104",
                "flite-rms-90",
                "festival-kal_diphone-90",
            ],
        }
    )
    assert few_clips.other_voices(said).tolist() == [False, False, True, True, False, False]


def test_a_row_says_how_many_were_right():
    draw = few_clips.Draw("ann", np.arange(10), np.arange(0), np.arange(40))
    row = few_clips.row_of(draw, per_intent=5, n_added=7, right=30)
    low, high = row.pop("accuracy_interval")
    assert low < 0.75 < high
    assert row == {
        "clips_per_intent": 5,
        "draw": "ann",
        "n_train": 10,
        "n_added": 7,
        "n": 40,
        "correct": 30,
        "accuracy": 0.75,
    }
