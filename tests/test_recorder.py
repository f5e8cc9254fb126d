import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import TONES

from speech_intent import quality, recorder
from speech_intent.data import load_data
from speech_intent.errors import AudioError, OutputError, UserError
from speech_intent.recipes import resolve
from speech_intent.recorder import COLUMNS, Recordings
from speech_intent.tables import is_corrected

RATE = 48_000
# Keeps clips when it is told to go; says so after each.
KEEPER = """
import sys
from speech_intent.recorder import Recordings
folder, clip, speaker, n = sys.argv[1:]
recordings = Recordings(folder)
print("ready", flush=True)
sys.stdin.readline()
for i in range(int(n)):
    row = recordings.keep(clip, f"intent {i % 2}", speaker, f"text {i}")
    print(row["file_name"], flush=True)
"""


@pytest.fixture
def recordings(tmp_path) -> Recordings:
    return Recordings(tmp_path / "recordings")


@pytest.fixture(scope="module")
def clip(tmp_path_factory, tone) -> str:
    path = tmp_path_factory.mktemp("clip") / "audio.wav"
    soundfile.write(path, tone(TONES["hear_low"], 0.8, rate=RATE), RATE)
    return str(path)


def table(recordings: Recordings) -> pd.DataFrame:
    return pd.read_csv(recordings.folder / "metadata.csv", dtype=str, keep_default_na=False)


def files(recordings: Recordings) -> set[str]:
    paths = recordings.folder.rglob("*")
    return {str(path.relative_to(recordings.folder)) for path in paths if path.is_file()}


def whole(recordings: Recordings, rows: pd.DataFrame) -> None:
    """Check that exactly the clips of the rows are there, and that each can be read to its end."""
    assert files(recordings) - {".lock", "metadata.csv"} == set(rows["file_name"])
    assert all(soundfile.read(recordings.folder / name)[1] == RATE for name in rows["file_name"])


# What is kept


def test_a_kept_clip_is_16_bit_flac_at_its_own_rate_with_the_same_samples(recordings, clip):
    row = recordings.keep(clip, "battery", "ann", "how much is left")
    kept = recordings.folder / row["file_name"]
    info = soundfile.info(kept)
    assert (info.format, info.subtype) == ("FLAC", "PCM_16")
    assert (info.samplerate, info.channels) == (RATE, 1)
    samples = soundfile.read(clip, dtype="int16")[0]
    np.testing.assert_array_equal(soundfile.read(kept, dtype="int16")[0], samples)
    assert row == {
        "file_name": row["file_name"],
        "intent": "battery",
        "speaker": "ann",
        "text": "how much is left",
    }
    assert (recordings.folder / "metadata.csv").read_text().splitlines() == [
        "file_name,intent,speaker,text",
        f"{row['file_name']},battery,ann,how much is left",
    ]
    with soundfile.SoundFile(kept) as file:
        assert json.loads(file.comment) == row


def test_stereo_becomes_mono(recordings, tmp_path, tone):
    left = tone(500, 0.5, seed=1)
    right = tone(900, 0.5, seed=2)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 16_000)
    row = recordings.keep(tmp_path / "stereo.wav", "a", "b")
    kept = soundfile.read(recordings.folder / row["file_name"])[0]
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


def test_the_folder_is_what_data_takes(recordings, tmp_path, tone):
    for intent in list(TONES)[:2]:
        for i in range(6):
            soundfile.write(tmp_path / "tone.wav", tone(TONES[intent], 0.3, i), 16_000)
            recordings.keep(tmp_path / "tone.wav", intent, "ann")
    tables = load_data(resolve(data=recordings.folder)).tables
    assert sum(map(len, tables.values())) == 12
    assert tables["train"].features["label"].names == list(TONES)[:2]


def test_clips_are_counted_by_intent_and_speaker(recordings, clip):
    assert list(recordings.counts()) == ["intent", "all"]
    for intent, speaker in (("battery", "ann"), ("book_now", "ben"), ("battery", "ann")):
        recordings.keep(clip, intent, speaker)
    assert recordings.counts().to_dict("records") == [
        {"intent": "battery", "all": 2, "ann": 2, "ben": 0},
        {"intent": "book_now", "all": 1, "ann": 0, "ben": 1},
    ]


def test_rows_and_columns_of_somebody_else_stay(tmp_path, clip):
    folder = tmp_path / "mine"
    (folder / "clips").mkdir(parents=True)
    soundfile.write(folder / "clips" / "old.flac", np.zeros(8000), 16_000)
    (folder / "clips" / "notes.part").write_text("mine")
    before = '\ufefffile_name,intent,room\nclips/old.flac,battery,"hall, big"\n'
    (folder / "metadata.csv").write_text(before)
    row = Recordings(folder).keep(clip, "book_now", "ann", "book it")
    old = {"file_name": "clips/old.flac", "intent": "battery", "speaker": "", "text": ""}
    with (folder / "metadata.csv").open() as file:
        assert list(csv.DictReader(file)) == [old | {"room": "hall, big"}, row | {"room": ""}]
    assert (folder / "clips" / "notes.part").exists()
    assert Recordings(folder).counts().to_dict("records") == [
        {"intent": "battery", "all": 1, "(no name)": 1, "ann": 0},
        {"intent": "book_now", "all": 1, "(no name)": 0, "ann": 1},
    ]


# What is refused


@pytest.mark.parametrize(
    ("intent", "speaker", "reason"),
    [
        ("", "ann", "has no intent; give the intent first"),
        ("battery", " \n", "has no speaker; give the speaker first"),
        (None, None, "has no intent and no speaker; give the intent and the speaker first"),
    ],
)
def test_a_clip_without_intent_or_speaker_is_refused(recordings, clip, intent, speaker, reason):
    with pytest.raises(UserError) as error:
        recordings.keep(clip, intent, speaker)
    assert (error.value.name, error.value.reason) == (clip, reason)
    assert files(recordings) == {".lock"}


@pytest.mark.parametrize("content", [b"no audio", b"", b"RIFF" + bytes(40)])
def test_what_is_not_audio_is_refused(recordings, tmp_path, content):
    (tmp_path / "text.wav").write_bytes(content)
    with pytest.raises(AudioError) as error:
        recordings.keep(tmp_path / "text.wav", "battery", "ann")
    assert error.value.name == str(tmp_path / "text.wav")
    assert error.value.problem.startswith(("is damaged or is not audio", "is empty", "is text"))
    assert files(recordings) == {".lock"}


@pytest.mark.parametrize(("rate", "kept"), [(1_000, 1_000), (65_537, 48_000), (655_350, 655_350)])
def test_every_sampling_rate_is_kept_or_becomes_one_that_flac_has(
    recordings, tmp_path, tone, rate, kept
):
    soundfile.write(tmp_path / "clip.wav", tone(440, 0.5, rate=rate), rate)
    row = recordings.keep(tmp_path / "clip.wav", "battery", "ann")
    info = soundfile.info(recordings.folder / row["file_name"])
    assert info.samplerate == kept
    assert info.duration == pytest.approx(0.5, abs=0.001)


def test_a_sampling_rate_above_all_is_refused(recordings, tmp_path, tone):
    soundfile.write(tmp_path / "fast.wav", tone(440, 0.5, rate=2_000_000), 2_000_000)
    with pytest.raises(AudioError, match="has a sampling rate of 2,000,000 Hz"):
        recordings.keep(tmp_path / "fast.wav", "battery", "ann")
    assert files(recordings) == {".lock"}


@pytest.mark.parametrize("field", ["intent", "speaker", "text"])
def test_a_text_that_is_no_sentence_is_refused(recordings, clip, field):
    names = {"intent": "battery", "speaker": "ann", "text": "how much"}
    kept = recordings.keep(clip, **names | {field: "x" * 2_000})
    with pytest.raises(UserError) as error:
        recordings.keep(clip, **names | {field: "x" * 2_001})
    reason = f"has too long a {field}, above 2,000 characters; shorten it"
    assert (error.value.name, error.value.reason) == (clip, reason)
    assert Recordings(recordings.folder).rows() == [kept]


def test_a_table_with_a_field_longer_than_csv_takes_is_read(recordings, clip):
    row = recordings.keep(clip, "battery", "ann", "how much")
    text = "x" * 140_000
    table_of_old = recordings.table.read_text().replace("how much", text)
    recordings.table.write_text(table_of_old)
    again = Recordings(recordings.folder)
    assert again.rows() == [row | {"text": text}]
    again.keep(clip, "battery", "ann")
    assert len(again.rows()) == 2


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        ("file_name;intent\na.wav;b\n", OutputError, "no column file_name, intent"),
        ("file_name,intent,split\na.wav,b,test\n", OutputError, "split column"),
        ("file_name,intent\na.wav,b,c,d\n", UserError, "more fields"),
        ('file_name,intent\na.wav,"b\n', UserError, "comma-separated"),
        ("file_name,intent\na.wav,\udcff\n", UserError, "UTF-8"),
    ],
)
def test_a_table_that_cannot_be_added_to_is_left_alone(tmp_path, content, kind, reason):
    path = tmp_path / "metadata.csv"
    before = content.encode(errors="surrogateescape")
    path.write_bytes(before)
    with pytest.raises(UserError, match=reason) as error:
        Recordings(tmp_path)
    assert type(error.value) is kind
    assert error.value.name == str(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["csv", "train.csv"])
def test_a_dataset_with_splits_is_not_recorded_into(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match="splits of its own"):
        Recordings(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written to \(File exists\)"):
        Recordings(tmp_path / "file")


def test_a_folder_that_somebody_else_writes_to_for_long_is_not_waited_for(
    recordings, clip, monkeypatch
):
    monkeypatch.setattr(recorder, "LOCK_SECONDS", 0.1)
    waiting = Recordings(recordings.folder)
    other = filelock.FileLock(recordings.folder / ".lock", is_singleton=False)
    with other, pytest.raises(OutputError, match="is being written to by another program"):
        waiting.keep(clip, "battery", "ann")
    waiting.keep(clip, "battery", "ann")


# Nothing is lost, nothing is overwritten


def keeper(recordings: Recordings, clip: str, speaker: str, n: int) -> subprocess.Popen:
    command = [sys.executable, "-c", KEEPER, str(recordings.folder), clip, speaker, str(n)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def test_two_processes_at_once_lose_nothing_and_a_reader_always_finds_a_whole_table(
    recordings, clip
):
    processes = {speaker: keeper(recordings, clip, speaker, 40) for speaker in ("ann", "ben")}
    for process in processes.values():
        go(process)
    seen = 0
    while any(process.poll() is None for process in processes.values()):
        if (recordings.folder / "metadata.csv").exists():
            names = table(recordings)["file_name"]
            assert all((recordings.folder / name).is_file() for name in names)
            assert len(names) >= seen
            seen = len(names)
    rows = table(recordings)
    for speaker, process in processes.items():
        said = process.communicate()[0].split()
        assert list(rows.loc[rows["speaker"] == speaker, "file_name"]) == said
    assert len(rows) == 80
    whole(recordings, rows)


def test_killed_in_mid_write_every_kept_clip_is_there_and_the_table_is_whole(recordings, clip):
    said = []
    for pause in (0.0, 0.017, 0.041):
        process = keeper(recordings, clip, "ann", 10**6)
        go(process)
        said += [process.stdout.readline().strip() for _ in range(3)]
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        said += [line for line in process.stdout.read().split("\n")[:-1] if line]
        rows = table(recordings)
        assert set(said) <= set(rows["file_name"])
        assert all((recordings.folder / name).is_file() for name in rows["file_name"])
        process.wait()
        whole(recordings, table(Recordings(recordings.folder)))


def test_a_clip_is_on_disk_before_its_row_and_a_part_before_the_whole(
    recordings, clip, monkeypatch
):
    written = []
    replace = os.replace

    def noting(part, path):
        assert Path(part) == Path(f"{path}.part") and Path(part).stat().st_size > 0
        written.append(Path(path).suffix)
        replace(part, path)

    monkeypatch.setattr(recorder.os, "replace", noting)
    recordings.keep(clip, "battery", "ann")
    assert written == [".flac", ".csv"]


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
    with pytest.raises(OutputError, match="No space left on device") as error:
        recordings.keep(clip, "battery", "ann")
    assert error.value.name == str(recordings.folder)
    assert (files(recordings), table(recordings).to_csv()) == before


def test_a_stop_between_clip_and_row_is_made_good_at_the_next_start(recordings, clip):
    kept = [recordings.keep(clip, intent, "ann", 'say, "it"') for intent in ("battery", "book_now")]
    (recordings.folder / "metadata.csv").write_text("file_name,intent,speaker,text\n")
    for name in ("clips/half.flac.part", "metadata.csv.part"):
        (recordings.folder / name).write_bytes(b"half")
    again = Recordings(recordings.folder)
    assert sorted(again.rows(), key=lambda row: row["intent"]) == kept
    whole(again, table(again))


def write_flac(path: Path, comment: str) -> None:
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16", format="FLAC") as file:
        file.comment = comment
        file.write(np.zeros(RATE))


ROW = dict.fromkeys(COLUMNS, "a")


@pytest.mark.parametrize(
    "comment",
    [
        "recorded in the hall",
        "2019",
        "null",
        '"text"',
        '["file_name", "intent", "speaker", "text"]',
        "[" * 100_000,
        json.dumps(ROW),  # of a clip with another name
        json.dumps(ROW | {"file_name": "clips/foreign.flac", "intent": ["a"]}),
        json.dumps({"file_name": "clips/foreign.flac", "intent": "a"}),
    ],
    ids=lambda comment: comment[:20],
)
def test_a_clip_from_elsewhere_is_left_alone_whatever_its_comment(recordings, clip, comment):
    kept = recordings.keep(clip, "battery", "ann")
    write_flac(recordings.clips / "foreign.flac", comment)
    (recordings.clips / "broken.flac").write_bytes(b"fLaC")
    assert Recordings(recordings.folder).rows() == [kept]
    write_flac(
        recordings.clips / "foreign.flac", json.dumps(ROW | {"file_name": "clips/foreign.flac"})
    )
    assert len(Recordings(recordings.folder).rows()) == 2


# Corrected clips


@pytest.fixture
def loud(tmp_path, tone) -> str:
    """A clip whose samples are no 16-bit ones."""
    path = tmp_path / "loud.wav"
    soundfile.write(path, tone(TONES["hear_low"], 0.8, rate=RATE), RATE, "FLOAT")
    return str(path)


def test_a_corrected_clip_says_so_in_its_row_and_in_itself(recordings, clip, loud):
    plain = recordings.keep(clip, "battery", "ann", "how much")
    row = recordings.keep(loud, "book_now", None, corrected=True)
    digest = quality.measure(loud).digest
    marks = {"corrected": "yes", "original_digest": digest}
    assert row == {**row, "intent": "book_now", "speaker": "", "text": "", **marks}
    assert quality.measure(recordings.folder / row["file_name"]).digest != digest
    assert recordings.rows() == [plain | dict.fromkeys(marks, ""), row]
    assert is_corrected(table(recordings)).tolist() == [False, True]
    with soundfile.SoundFile(recordings.folder / row["file_name"]) as file:
        assert json.loads(file.comment) == row
    again = recordings.keep(clip, "battery", "ann")
    assert recordings.rows()[2] == again | dict.fromkeys(marks, "")


def test_a_corrected_clip_needs_an_intent_and_no_speaker(recordings, clip):
    with pytest.raises(UserError) as error:
        recordings.keep(clip, "\n", None, corrected=True)
    assert error.value.reason == "has no intent; give the intent first"
    assert files(recordings) == {".lock"}


def test_a_corrected_clip_is_taken_once_whatever_its_intent_and_file(recordings, clip, tmp_path):
    first = recordings.keep(clip, "battery", "", corrected=True)
    soundfile.write(tmp_path / "same.flac", soundfile.read(clip, dtype="int16")[0], RATE)
    for path, intent in ((clip, "battery"), (tmp_path / "same.flac", "book_now")):
        with pytest.raises(UserError) as error:
            Recordings(recordings.folder).keep(path, intent, "", corrected=True)
        assert str(error.value) == (
            f"the clip: is kept already, as 'battery' ({first['file_name']}); "
            "edit its row in metadata.csv if that is wrong"
        )
    whole(recordings, table(recordings))
    assert recordings.rows() == [first]
    recordings.keep(clip, "battery", "ann")  # whoever means to
    assert len(recordings.rows()) == 2


def test_of_two_pages_that_correct_a_clip_at_once_one_keeps_it(recordings, clip):
    def keep(number: int) -> bool:
        try:
            Recordings(recordings.folder).keep(clip, f"intent {number}", "", corrected=True)
        except UserError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(keep, range(8))) == [False] * 7 + [True]
    assert len(recordings.rows()) == 1
    whole(recordings, table(recordings))


@pytest.mark.parametrize("suffix", [".flac", ".csv"])
def test_a_full_disk_leaves_a_corrected_clip_to_be_kept_again(
    recordings, clip, monkeypatch, suffix
):
    with monkeypatch.context() as full:
        fail_at(full, suffix)
        with pytest.raises(OutputError, match="No space left on device"):
            recordings.keep(clip, "battery", "", corrected=True)
    assert files(recordings) == {".lock"}
    assert recordings.keep(clip, "battery", "", corrected=True) in recordings.rows()


def test_corrected_clips_without_a_row_are_listed_again_as_such(recordings, clip, loud):
    kept = [recordings.keep(clip, "battery", "ann"), recordings.keep(loud, "b", "", corrected=True)]
    before = sorted(recordings.rows(), key=lambda row: row["intent"])
    for lines in (1, 2):  # neither row was written; that of the corrected clip was not
        header = ",".join(COLUMNS)
        first = ",".join(kept[0].values())
        recordings.table.write_text("\n".join([header, first][:lines]) + "\n")
        again = Recordings(recordings.folder)
        assert sorted(again.rows(), key=lambda row: row["intent"]) == before
        whole(again, table(again))


def test_a_comment_with_half_of_the_marks_is_from_elsewhere(recordings):
    recordings.clips.mkdir()
    comment = json.dumps(ROW | {"file_name": "clips/half.flac", "corrected": "yes"})
    write_flac(recordings.clips / "half.flac", comment)
    assert Recordings(recordings.folder).rows() == []


def test_a_table_that_has_a_split_column_is_refused_for_corrected_clips_too(recordings, clip):
    recordings.table.write_text("file_name,intent,split\n")
    before = recordings.table.read_bytes()
    with pytest.raises(OutputError, match="split column"):
        recordings.keep(clip, "battery", "", corrected=True)
    assert recordings.table.read_bytes() == before
    assert files(recordings) == {".lock", "metadata.csv"}
