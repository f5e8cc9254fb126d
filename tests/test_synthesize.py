"""Sentences become a data folder: what is in it, and what happens when something is in the way."""

import json
import os
import signal

import numpy as np
import pandas as pd
import pytest
import soundfile

from speech_intent import data, synthesize
from speech_intent.errors import DataError, OutputError, UserError
from speech_intent.recipes import resolve
from speech_intent.synthesis import engines, speaking
from speech_intent.synthesis.engines import Spoken
from speech_intent.synthesis.plan import Clip
from speech_intent.synthesis.voices import Voice

TEXT = "intent,text\non,[turn|switch] on the {lamp|light}\noff,turn it off\n"


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    path = tmp_path_factory.mktemp("sentences") / "sentences.csv"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(sentences, tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("spoken")
    command = [str(sentences), "--output-dir", str(output_dir), "--clips", "40"]
    assert synthesize.main(command) == 0
    return output_dir


@pytest.fixture(scope="module")
def table(folder):
    return pd.read_csv(folder / "metadata.csv")


def test_the_table_says_who_said_what(table):
    assert list(table.columns) == ["file_name", "intent", "speaker", "engine", "text", "split"]
    assert table["intent"].value_counts().to_dict() == {"on": 20, "off": 20}
    assert set(table["text"]) > {"turn it off", "switch on the lamp"}
    assert {"espeak-ng", "piper", "hibari"} <= set(table["engine"])
    assert table["speaker"].nunique() > 20


def test_clips_are_speech_of_different_levels(folder, table):
    peaks = []
    for name in table["file_name"]:
        waveform, rate = soundfile.read(folder / name)
        assert rate == 16_000
        assert 0.3 < len(waveform) / rate < 6
        peaks.append(20 * np.log10(np.abs(waveform).max()))
    assert min(peaks) >= -18.1
    assert max(peaks) <= -0.9
    assert np.std(peaks) > 3


def test_the_folder_can_be_trained_on(folder):
    tables = data.load_data(resolve(data=folder)).tables
    assert {split: len(rows) for split, rows in tables.items()} == {
        "train": 32,
        "validation": 4,
        "test": 4,
    }
    assert all(set(rows["label"]) == {0, 1} for rows in tables.values())
    assert not set(tables["train"]["speaker"]) & set(tables["test"]["speaker"])


def test_the_card_says_first_that_nobody_was_recorded(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    body = card.split("---")[2]
    assert "no person was recorded" in body.split("\n\n")[2].replace("\n", " ")
    assert "| off | 16 | 2 | 2 |" in card
    assert "  - synthetic" in card


@pytest.mark.parametrize("intents", [["on", "off"], ["on"]])
def test_what_is_no_request_is_spoken_and_counted_apart(tmp_path, intents):
    rows = [*((intent, f"turn it {intent}") for intent in intents), ("Unknown", "turn it over")]
    text = "\n".join(["intent,text", *map(",".join, rows)])
    (tmp_path / "sentences.csv").write_text(text, encoding="utf-8")
    folder = tmp_path / "said"
    table = synthesize.synthesize(tmp_path / "sentences.csv", folder, 6 * len(rows))
    counts = table["intent"].value_counts().to_dict()
    assert counts == {intent: 6 for intent in [*intents, "unknown"]}
    card = (folder / "README.md").read_text(encoding="utf-8")
    said = f"{len(table)} clips of {len(intents)} intents, 6 of them examples of what is not to be "
    assert f"{said}answered (`unknown`), from {len(rows)} sentences" in " ".join(card.split())
    assert card.index("| on |") < card.index("| unknown |")
    if len(intents) == 1:
        with pytest.raises(DataError, match=r"there is one intent only \(on\)"):
            data.load_data(resolve(data=folder))
        return
    splits = data.load_data(resolve(data=folder))
    assert splits.tables["train"].features["label"].names == ["off", "on"]
    assert [len(splits.unknown[split]) for split in splits.unknown] == [4, 1, 1]


def test_the_same_command_goes_on_and_gives_the_same(folder, sentences, table, monkeypatch):
    lost = table["file_name"][3]
    before = soundfile.read(folder / table["file_name"][1])[0]
    (folder / lost).unlink()
    (folder / "metadata.csv").unlink()
    kept = (folder / table["file_name"][5]).stat().st_mtime_ns
    again = synthesize.synthesize(sentences, folder, 40)
    assert (folder / lost).exists()
    assert again.equals(table)
    assert (folder / table["file_name"][5]).stat().st_mtime_ns == kept
    assert np.array_equal(soundfile.read(folder / table["file_name"][1])[0], before)


@pytest.mark.parametrize("change", [{"n_clips": 41}, {"n_clips": 40, "seed": 1}])
def test_a_folder_of_something_else_is_left_alone(folder, sentences, change):
    before = (folder / "metadata.csv").read_bytes()
    with pytest.raises(OutputError, match="holds results of other"):
        synthesize.synthesize(sentences, folder, **change)
    assert (folder / "metadata.csv").read_bytes() == before


def test_a_clip_is_the_same_whoever_speaks_the_others(tmp_path):
    clip = Clip(7, "on", "turn it on", 2, "train", (Voice("hibari", "heart", 1.0),))
    waveforms = []
    for name in ("one", "two"):
        (tmp_path / name / "clips").mkdir(parents=True)
        speaking.make(clip, seed=0, folder=tmp_path / name)
        waveforms.append(soundfile.read(tmp_path / name / clip.file_name)[0])
    assert np.array_equal(*waveforms)


class Stumbling:
    """An engine that some texts are too much for, each in its own way."""

    def speak(self, text, voice, pace, rng):
        if "crash" in text:
            raise RuntimeError(text)
        n_samples = {"silent": 0, "click": 100, "endless": 16_000 * 40}.get(text, 16_000)
        waveform = rng.standard_normal(n_samples).astype(np.float32)
        if text == "broken":
            waveform[5] = np.nan
        return Spoken(waveform, 16_000)


@pytest.mark.parametrize("text", ["crash", "silent", "click", "endless", "broken"])
def test_where_a_voice_stumbles_the_next_one_speaks(tmp_path, monkeypatch, text):
    others = {"piper": Stumbling(), "hibari": Stumbling()}
    espeak = engines.engine("espeak-ng")
    monkeypatch.setattr(engines, "engine", lambda name: others.get(name, espeak))
    (tmp_path / "clips").mkdir()
    stumbling = (Voice("piper", "en", 1.0), Voice("hibari", "heart", 1.0))
    clip = Clip(0, "on", text, 2, "train", stumbling)
    assert speaking.make(clip, 0, tmp_path) is None
    assert list((tmp_path / "clips").iterdir()) == []
    clip = Clip(0, "on", text, 2, "train", (*stumbling, Voice("espeak-ng", "en-us+f3", 1.0)))
    assert speaking.make(clip, 0, tmp_path)["engine"] == "espeak-ng"


def test_a_sentence_that_no_voice_says_is_named(sentences, caplog):
    clips = [
        Clip(0, "on", "on", 2, "train", ()),
        Clip(1, "on", "mm", 3, "train", ()),
        Clip(2, "off", "off", 4, "train", ()),
    ]
    row = {"intent": "on", "split": "train"}
    with pytest.raises(DataError, match="line 4: no voice can speak 'off'"):
        synthesize._check(clips, [row, None, None], sentences)
    synthesize._check(clips[:2], [row, None], sentences)
    assert "line 3: no voice can speak 'mm'; it is left out" in caplog.text


def test_without_a_synthesiser_the_remedy_is_named(sentences, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "installed", list)
    with pytest.raises(UserError, match=r"pip install -e '\.\[synthesis\]'"):
        synthesize.synthesize(sentences, tmp_path / "out")


def test_a_seed_below_zero_is_refused(sentences, tmp_path):
    with pytest.raises(UserError, match="give a whole number from 0 on"):
        synthesize.synthesize(sentences, tmp_path / "out", seed=-1)


def test_what_was_made_is_said(folder, sentences, capsys):
    command = [str(sentences), "--output-dir", str(folder), "--clips", "40"]
    assert synthesize.main(command) == 0
    printed = capsys.readouterr().out
    assert "40 clips by" in printed
    assert "train 32, validation 4, test 4" in printed
    assert "No person was recorded" in printed


def killed(clip, seed, folder):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_no_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(speaking, "make", killed)
    clips = [Clip(0, "on", "on", 2, "train", ())]
    with pytest.raises(UserError, match="then repeat the command"):
        list(synthesize._spoken(clips, 0, tmp_path))


def test_bad_sentences_are_named_before_anything_is_written(tmp_path, capsys):
    path = tmp_path / "bad.csv"
    path.write_text("intent,text\non,[turn on\noff,да\n", encoding="utf-8")
    assert synthesize.main([str(path), "--output-dir", str(tmp_path / "out")]) == 1
    errors = capsys.readouterr().err
    assert "line 2" in errors
    assert "line 3" in errors
    assert not (tmp_path / "out").exists()


def test_a_clip_carries_its_row(folder, table):
    with soundfile.SoundFile(folder / table["file_name"][0]) as file:
        assert json.loads(file.comment) == table.iloc[0].to_dict()
