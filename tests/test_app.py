import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import TONES
from page_server import ROOT, page_server

from speech_intent.data import load_data
from speech_intent.tables import BUNDLED

sys.path.insert(0, str(ROOT))
import app
import recorder
from recorder import Recordings

RATE = 48_000
# Keeps clips when it is told to go; says so after each.
KEEPER = """
import sys
sys.path.insert(0, sys.argv[1])
from recorder import Recordings
recordings = Recordings(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(sys.argv[5])):
    print(recordings.keep(sys.argv[3], f"intent {n % 2}", sys.argv[4], f"text {n}")["file_name"], flush=True)
"""


@pytest.fixture
def recordings(tmp_path) -> Recordings:
    return Recordings(tmp_path / "recordings")


@pytest.fixture(scope="session")
def clip(tmp_path_factory, tone) -> str:
    path = tmp_path_factory.mktemp("clip") / "audio.wav"
    soundfile.write(path, tone(TONES["hear_low"], 0.8, rate=RATE), RATE)
    return str(path)


def table(recordings: Recordings) -> pd.DataFrame:
    return pd.read_csv(recordings.folder / "metadata.csv", dtype=str, keep_default_na=False)


def files(recordings: Recordings) -> set[str]:
    return {str(path.relative_to(recordings.folder)) for path in recordings.folder.rglob("*") if path.is_file()}


def whole(recordings: Recordings, rows: pd.DataFrame) -> None:
    """Check that exactly the clips of the rows are there, and that each can be read to its end."""
    assert files(recordings) - {".lock", "metadata.csv"} == set(rows["file_name"])
    assert all(soundfile.read(recordings.folder / name)[1] == RATE for name in rows["file_name"])


# ---- Recordings


def test_a_kept_clip_is_16_bit_flac_at_its_own_rate_with_the_same_samples(recordings, clip):
    row = recordings.keep(clip, "battery", "ann", "how much is left")
    kept = recordings.folder / row["file_name"]
    info = soundfile.info(kept)
    assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", RATE, 1)
    assert np.array_equal(soundfile.read(kept, dtype="int16")[0], soundfile.read(clip, dtype="int16")[0])
    assert row == {"file_name": row["file_name"], "intent": "battery", "speaker": "ann", "text": "how much is left"}
    assert (recordings.folder / "metadata.csv").read_text().splitlines() == [
        "file_name,intent,speaker,text",
        f"{row['file_name']},battery,ann,how much is left",
    ]


def test_stereo_becomes_mono(recordings, tmp_path, tone):
    left, right = tone(500, 0.5, seed=1), tone(900, 0.5, seed=2)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 16_000)
    kept = soundfile.read(recordings.folder / recordings.keep(tmp_path / "stereo.wav", "a", "b")["file_name"])[0]
    assert np.abs(kept - (left + right) / 2).max() < 1e-4


@pytest.mark.parametrize(
    "name",
    [
        "../../evil",
        "/etc/passwd",
        'with "quotes", commas',
        "=cmd|' /C calc'!A0",
        "ünïcödé 電池",
        "-rf",
        "a\nb\r\x00c",
        "NA",
    ],
)
def test_names_are_data_and_never_a_path(recordings, clip, name):
    row = recordings.keep(clip, name, name, name)
    assert re.fullmatch(r"clips/\d{8}-\d{6}-[0-9a-f]{12}\.flac", row["file_name"])
    clean = " ".join(name.replace("\x00", " ").split())
    assert table(recordings).iloc[0].tolist() == [row["file_name"], clean, clean, clean]
    whole(recordings, table(recordings))
    assert [path.name for path in recordings.folder.parent.iterdir()] == ["recordings"]


def test_the_folder_is_what_data_takes(recordings, clip, tmp_path, tone):
    for intent, frequency in list(TONES.items())[:2]:
        for i in range(6):
            soundfile.write(tmp_path / "tone.wav", tone(frequency, 0.3, i), 16_000)
            recordings.keep(tmp_path / "tone.wav", intent, "ann")
    splits, _ = load_data(recordings.folder)
    assert sum(map(len, splits.values())) == 12
    assert splits["train"].features["label"].names == list(TONES)[:2]


@pytest.mark.parametrize(("intent", "speaker"), [("", "ann"), ("battery", " \n"), (None, None)])
def test_a_clip_without_intent_or_speaker_is_refused(recordings, clip, intent, speaker):
    with pytest.raises(ValueError, match="give the"):
        recordings.keep(clip, intent, speaker)
    assert files(recordings) == {".lock"}


def test_what_is_not_audio_is_refused(recordings, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(ValueError, match="is not audio"):
        recordings.keep(tmp_path / "text.wav", "battery", "ann")
    assert files(recordings) == {".lock"}


def test_rows_and_columns_of_somebody_else_stay(tmp_path, clip):
    folder = tmp_path / "mine"
    (folder / "clips").mkdir(parents=True)
    soundfile.write(folder / "clips" / "old.flac", np.zeros(8000), 16_000)
    (folder / "clips" / "notes.part").write_text("mine")
    (folder / "metadata.csv").write_text('\ufefffile_name,intent,room\nclips/old.flac,battery,"hall, big"\n')
    row = Recordings(folder).keep(clip, "book_now", "ann", "book it")
    assert list(csv.DictReader((folder / "metadata.csv").open())) == [
        {"file_name": "clips/old.flac", "intent": "battery", "speaker": "", "text": "", "room": "hall, big"},
        row | {"room": ""},
    ]
    assert (folder / "clips" / "notes.part").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("file_name;intent\na.wav;b\n", "no column file_name, intent"),
        ("file_name,intent,split\na.wav,b,test\n", "split column"),
        ("file_name,intent\na.wav,b,c,d\n", "more fields"),
        ('file_name,intent\na.wav,"b\n', "comma-separated"),
        ("file_name,intent\na.wav,\udcff\n", "UTF-8"),
    ],
)
def test_a_table_that_cannot_be_added_to_is_left_alone(tmp_path, content, reason):
    path = tmp_path / "metadata.csv"
    path.write_bytes(before := content.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=reason):
        Recordings(tmp_path)
    assert path.read_bytes() == before


def test_a_dataset_with_splits_is_not_recorded_into(tmp_path):
    (tmp_path / "csv").mkdir()
    with pytest.raises(ValueError, match="splits of its own"):
        Recordings(tmp_path)


# ---- Nothing is lost, nothing is overwritten


def keeper(recordings: Recordings, clip: str, speaker: str, n: int) -> subprocess.Popen:
    command = [sys.executable, "-c", KEEPER, str(ROOT), str(recordings.folder), clip, speaker, str(n)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_at_once_lose_nothing_and_a_reader_always_finds_a_whole_table(recordings, clip):
    processes = {speaker: keeper(recordings, clip, speaker, 40) for speaker in ("ann", "ben")}
    for process in processes.values():
        process.stdin.write("\n")
        process.stdin.flush()
    seen = 0
    while any(process.poll() is None for process in processes.values()):
        if (recordings.folder / "metadata.csv").exists():
            names = table(recordings)["file_name"]
            assert all((recordings.folder / name).is_file() for name in names)
            assert len(names) >= seen
            seen = len(names)
    rows = table(recordings)
    for speaker, process in processes.items():
        assert list(rows.loc[rows["speaker"] == speaker, "file_name"]) == process.communicate()[0].split()
    assert len(rows) == 80
    whole(recordings, rows)


def test_killed_in_mid_write_every_kept_clip_is_there_and_the_table_is_whole(recordings, clip):
    said = []
    for pause in (0.0, 0.017, 0.041):
        process = keeper(recordings, clip, "ann", 10**6)
        process.stdin.write("\n")
        process.stdin.flush()
        said += [process.stdout.readline().strip() for _ in range(3)]
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        said += [line for line in process.stdout.read().split("\n")[:-1] if line]
        rows = table(recordings)
        assert set(said) <= set(rows["file_name"])
        assert {name for name in rows["file_name"] if not (recordings.folder / name).is_file()} == set()
        process.wait()
        whole(recordings, table(Recordings(recordings.folder)))


def fail_at(monkeypatch, suffix: str) -> None:
    """Let the disk be full when a file with this suffix is written."""
    replace = os.replace

    def failing(part, path):
        if str(path).endswith(suffix):
            raise OSError(28, "No space left on device")
        replace(part, path)

    monkeypatch.setattr(recorder.os, "replace", failing)


@pytest.mark.parametrize("suffix", [".flac", ".csv"])
def test_a_full_disk_leaves_the_folder_as_it_was(recordings, clip, monkeypatch, suffix):
    recordings.keep(clip, "battery", "ann")
    before = files(recordings), table(recordings).to_csv()
    fail_at(monkeypatch, suffix)
    with pytest.raises(OSError, match="No space"):
        recordings.keep(clip, "battery", "ann")
    assert (files(recordings), table(recordings).to_csv()) == before


def test_a_stop_between_clip_and_row_is_made_good_at_the_next_start(recordings, clip):
    kept = [recordings.keep(clip, intent, "ann", 'say, "it"') for intent in ("battery", "book_now")]
    (recordings.folder / "metadata.csv").write_text("file_name,intent,speaker,text\n")
    for name in ("clips/half.flac.part", "metadata.csv.part"):
        (recordings.folder / name).write_bytes(b"half")
    again = Recordings(recordings.folder)
    assert sorted(again.rows(), key=lambda row: row["intent"]) == kept
    whole(again, table(again))


# ---- Quality


def speech(seconds: float = 1.5, level: float = 0.2) -> np.ndarray:
    rng, t = np.random.default_rng(0), np.arange(round(seconds * RATE)) / RATE
    return level * np.sin(2 * np.pi * 3 * t) * rng.normal(0, 0.5, len(t))


@pytest.mark.parametrize(
    ("waveform", "complaint"),
    [
        (speech(), None),
        (speech(0.3), "too short"),
        (speech(level=0.01), "too quiet"),
        (speech(level=1e-4), "nearly silent"),
        (np.zeros(RATE), "nearly silent"),
        (np.concatenate([np.zeros(RATE), speech(0.1), np.zeros(RATE)]), "nearly silent"),
        (np.clip(speech(level=2.0), -1, 1), "clipped"),
    ],
)
def test_a_doubtful_clip_is_complained_of(tmp_path, waveform, complaint):
    soundfile.write(tmp_path / "clip.wav", waveform, RATE)
    found = recorder.complaints(recorder.measure(tmp_path / "clip.wav"))
    assert [text.startswith(complaint) for text in found] == [True] if complaint else found == []
    assert app.check(str(tmp_path / "clip.wav")).startswith(f"⚠ {complaint}" if complaint else "1.5 s, sounds good")


def test_bundled_clips_are_not_complained_of():
    clips = sorted((BUNDLED / "audio").iterdir())[::40]
    assert [clip.name for clip in clips if recorder.complaints(recorder.measure(clip))] == []


def test_a_measurement_does_not_depend_on_blocks(tmp_path):
    waveform = speech(3.1)
    soundfile.write(tmp_path / "clip.wav", waveform, RATE, subtype="FLOAT")
    measured = recorder.measure(tmp_path / "clip.wav")
    assert measured.seconds == 3.1
    assert measured.peaks.max() == pytest.approx(np.abs(waveform).max(), rel=1e-6)
    assert len(measured.peaks) == len(measured.levels) == pytest.approx(3.1 / 0.02, abs=5)
    power = np.mean(10 ** (measured.levels / 10))
    assert power == pytest.approx(np.mean(waveform**2), rel=0.02)


# ---- The page


def test_an_answer_has_words_scores_and_a_picture(classifier, clip):
    words, scores, figure = app.answer(classifier, clip)
    assert words.startswith("## hear_low\n")
    assert re.search(rf"0\.80 s of audio answered in \d+ ms by {re.escape(classifier.name)} \(\w+, \w+\)", words)
    prediction = classifier.predict(clip)
    assert list(scores.items()) == list(prediction.scores)
    assert f"score {prediction.score:.2f}" in words
    assert figure.axes[0].get_xlim() == (0, 0.8)


def test_no_clip_empties_the_answer(classifier):
    assert app.answer(classifier, None) == ("", None, None)
    assert app.check(None) == ""


def test_a_clip_that_cannot_be_used_is_named_without_the_servers_paths(classifier, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    for words in (app.answer(classifier, str(tmp_path / "text.wav"))[0], app.check(str(tmp_path / "text.wav"))):
        assert "is not audio" in words
        assert str(tmp_path) not in words


def test_silence_is_answered_with_a_warning(classifier, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    assert "⚠ nearly silent" in app.answer(classifier, str(tmp_path / "silence.wav"))[0]


@dataclass
class Answer:
    label: str = "battery"
    score: float = 0.4
    seconds: float = 1.0
    accepted: bool = False
    engine: str = "onnx"
    precision: str = "int8"


def test_a_rejected_request_is_called_unknown(classifier):
    words = app.in_words(classifier, Answer(), 12.3)
    assert words.startswith("## unknown\nrejected: closest is battery, ")
    assert words.endswith("(onnx, int8)")
    assert app.in_words(classifier, Answer(accepted=True), 12.3).startswith("## battery\nscore 0.40")


def test_phrasings_to_say_are_those_of_the_training_split():
    everything = pd.read_csv(BUNDLED / "phrasings.csv")
    said = {(intent, text) for intent, texts in app.training_phrasings().items() for text in texts}
    assert said == set(
        everything.loc[everything["split"] == "train", ["intent", "text"]].itertuples(index=False, name=None)
    )


def test_the_phrasing_recorded_least_comes_next(recordings, clip):
    phrasings = {"battery": ["one", "two", "three"]}
    assert app.next_phrasing(recordings, phrasings, "battery") == "one"
    assert app.next_phrasing(recordings, phrasings, "battery", "one") == "two"
    assert app.next_phrasing(recordings, phrasings, "battery", "three") == "one"
    for text in ("two", "three"):
        recordings.keep(clip, "battery", "ann", text)
    recordings.keep(clip, "other", "ann", "one")
    assert app.next_phrasing(recordings, phrasings, " battery", "one") == "one"
    assert app.next_phrasing(recordings, phrasings, "turn_on_light", "one") == "turn on light"
    assert app.next_phrasing(recordings, phrasings, None) == ""


def test_keeping_empties_the_recorder_and_counts(recordings, clip):
    message, left, phrasing, counts = app.keep(recordings, {"battery": ["one", "two"]}, "battery", "ann", "one", clip)
    assert message == f"Kept as {recordings.rows()[0]['file_name']}"
    assert (left, phrasing) == (None, "two")
    assert counts.to_dict("records") == [{"intent": "battery", "all": 1, "ann": 1}]
    app.keep(recordings, {}, "book_now", "ben", "", clip)
    assert recordings.counts().to_dict("records") == [
        {"intent": "battery", "all": 1, "ann": 1, "ben": 0},
        {"intent": "book_now", "all": 1, "ann": 0, "ben": 1},
    ]


@pytest.mark.parametrize(("speaker", "recorded", "reason"), [("ann", False, "record something"), ("", True, "speaker")])
def test_what_was_not_kept_stays_on_the_page(recordings, clip, speaker, recorded, reason):
    message, *rest = app.keep(recordings, {}, "battery", speaker, "", clip if recorded else None)
    assert message.startswith("**Not kept: ")
    assert reason in message
    assert rest == [app.gr.skip()] * 3
    assert recordings.rows() == []


def test_examples_are_test_clips_of_the_models_own_intents():
    clips = app.examples(["battery", "unheard_of"])
    ((text, path),) = clips.items()
    row = pd.read_csv(BUNDLED / "csv" / "test.csv", index_col="file_name").loc[
        Path(path).relative_to(BUNDLED).as_posix()
    ]
    assert (row["intent"], row["text"]) == ("battery", text)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--model", "no/such/folder"], "no such folder"), (["--recordings", "file"], "File exists")],
)
def test_what_cannot_be_used_gets_one_line(tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert app.main(arguments) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert reason in err


def test_a_space_names_its_model_in_a_variable(monkeypatch):
    assert app.parser().parse_args([]).model == str(app.MODEL)
    monkeypatch.setenv(app.MODEL_VARIABLE, "USER/NAME")
    assert app.parser().parse_args([]).model == "USER/NAME"
    assert app.parser().parse_args(["--model", "mine"]).model == "mine"


def test_the_page_is_served_to_this_machine_and_refers_to_no_other(tmp_path, model_folder):
    with page_server(tmp_path, "--model", model_folder) as (address, _):
        text = urllib.request.urlopen(address).read().decode()
        config = json.loads(urllib.request.urlopen(f"{address}/config").read())
        styles = urllib.request.urlopen(f"{address}/theme.css").read().decode()
        assert "Spoken intents" in text
    assert re.findall(r"""(?:src|href)=["']?(?:https?:)?//(?!127\.0\.0\.1)[^"' >]*""", text) == []
    assert re.findall(r"""(?:url\(|@import)\s*["']?(?:https?:)?//[^)]*""", styles) == []
    assert config["analytics_enabled"] is False
    assert config["run_history"] is False
    assert [theme for theme in config["stylesheets"] if "//" in theme] == []
    assert (tmp_path / "recordings").is_dir()
