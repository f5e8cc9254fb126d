"""Worth of a threshold, and the sounds that should not reach it."""

import itertools
import json
import math

import numpy as np
import out_of_scope
import pandas as pd
import pytest
from datasets import Dataset
from out_of_scope import RATE

from speech_intent.data import Recordings


def test_each_intent_is_left_out_once():
    parts = out_of_scope.parts(list("abcdefghi"), seed=0)
    assert [len(part) for part in parts] == [3, 3, 3]
    assert sorted(itertools.chain(*parts)) == list("abcdefghi")
    assert all(part == sorted(part) for part in parts)
    assert out_of_scope.parts(list("abcdefghi"), seed=0) == parts
    assert out_of_scope.parts(list("abcdefghi"), seed=1) != parts


@pytest.mark.parametrize("kind", out_of_scope.NON_SPEECH)
def test_what_is_no_speech_lasts_three_seconds_and_depends_on_its_seed(kind):
    clips = [out_of_scope.non_speech(kind, seed) for seed in (0, 0, 1)]
    assert all(clip.shape == (3 * RATE,) and clip.dtype == np.float32 for clip in clips)
    assert np.array_equal(clips[0], clips[1]) and not np.array_equal(clips[0], clips[2])
    assert 0.001 < np.abs(clips[0]).max() < 1
    assert np.abs(out_of_scope.non_speech("silence", 3)).max() < 1e-4


@pytest.mark.parametrize(("seed", "ratio_db"), [(0, 0), (1, 10)])
def test_noise_is_white_and_pink_in_turn(seed, ratio_db):
    noise = out_of_scope.non_speech("noise", seed)
    power = np.abs(np.fft.rfft(noise)) ** 2
    low = power[450:750].mean()  # 150 to 250 Hz
    high = power[4500:7500].mean()  # 1,500 to 2,500 Hz
    assert 10 * np.log10(low / high) == pytest.approx(ratio_db, abs=1.5)
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(0.1, abs=1e-3)


def test_a_knock_fades_faster_than_a_chord():
    def kept(clip: np.ndarray) -> float:
        first, second = clip[:2_000], clip[2_000:4_000]
        return float(np.sum(second**2) / np.sum(first**2))

    chord = kept(out_of_scope.non_speech("chords", 0))
    knock = kept(out_of_scope.non_speech("knocks", 0))
    assert chord == pytest.approx(math.exp(-2), abs=0.05)  # amplitude exp(-8 t), an eighth later
    assert knock < 1e-4


@pytest.fixture
def recordings() -> Recordings:
    rows = [("a", "test"), ("b", "train"), ("b", "test"), ("c", "test"), ("b", "validation")]
    table = pd.DataFrame(rows, columns=["intent", "split"])
    table = table.assign(file_name=[f"{i}.wav" for i in range(5)], speaker="", seconds=1.0)
    clips = Dataset.from_dict({"audio": [{"bytes": None, "path": f"{i}.wav"} for i in range(5)]})
    return Recordings(table, clips)


def test_only_test_clips_of_what_was_left_out_are_foreign(recordings):
    sources = out_of_scope.foreign_sources(recordings, ["b", "c"], {"words": ["a.wav"]})
    assert [source["path"] for source in sources["intents left out"]] == ["2.wav", "3.wav"]
    assert {name: len(clips) for name, clips in sources.items()} == {
        "intents left out": 2,
        "noise": 30,
        "chords": 30,
        "knocks": 30,
        "silence": 30,
        "words": 1,
    }


def test_a_folder_of_another_seed_is_refused(recordings, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(out_of_scope.data, "read_recordings", lambda recipe: recordings)
    monkeypatch.setattr(out_of_scope, "train_and_score", lambda *given: {"n": 1})

    def call(*options: str) -> int:
        monkeypatch.setattr("sys.argv", ["x", "--output-dir", str(tmp_path / "out"), *options])
        return out_of_scope.main()

    assert call() == 0
    assert call() == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results == {
        "encoder": "moonshine",
        "seed": 0,
        "accept": 0.9,
        "runs": [{"n": 1}] * 3,
    }
    capsys.readouterr()
    assert call("--seed", "1") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and "seed 0 (now 1)" in err
