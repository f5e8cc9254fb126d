import shutil

import numpy as np
import pytest
import soundfile

from speech_intent import audio, unlabelled
from speech_intent.errors import DataError

RATE = 16_000


@pytest.fixture
def room(tmp_path, tone):
    """Four recordings in a folder, two of them deeper in it."""
    folder = tmp_path / "room"
    for i, name in enumerate(["a.wav", "b.flac", "monday/c.wav", "monday/x/d.ogg"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(440 + i, seed=i), RATE)
    return folder


def test_every_audio_file_is_read_whatever_a_table_says(room):
    (room / "metadata.csv").write_text("file_name,intent\na.wav,on\n")
    (room / "notes.txt").write_text("x")
    shutil.copy(room / "a.wav", room / ".hidden.wav")
    found = unlabelled.read(str(room))
    assert len(found.clips) == 4
    assert found.clips["seconds"] == pytest.approx([0.4] * 4, abs=0.01)
    assert set(found.clips["label"]) == {0}
    assert len(audio.load(found.clips[0]["audio"], RATE)) == 6_400
    assert found.folder == "room"


def test_a_zip_is_as_good_as_the_folder(room, tmp_path):
    shutil.make_archive(str(tmp_path / "packed"), "zip", room)
    zipped = unlabelled.read(str(tmp_path / "packed.zip"))
    facts = unlabelled.read(str(room)).facts()
    assert zipped.facts() == facts | {"folder": "packed"}


def test_the_facts_tell_recordings_apart_by_their_samples(room, tone):
    before = unlabelled.read(str(room)).facts()
    assert (before["folder"], before["clips"]) == ("room", 4)
    (room / "a.wav").rename(room / "z.wav")
    assert unlabelled.read(str(room)).facts() == before
    soundfile.write(room / "z.wav", tone(440, seed=9), RATE)
    assert unlabelled.read(str(room)).facts()["digest"] != before["digest"]


def test_the_same_recording_twice_counts_once(room):
    shutil.copy(room / "a.wav", room / "again.wav")
    assert len(unlabelled.read(str(room)).clips) == 4


def test_broken_files_are_left_out_and_told_once(room, caplog):
    for i in range(4):
        (room / f"{i}.wav").write_text("no audio")
    first = unlabelled.read(str(room))
    assert unlabelled.read(str(room)) is first
    assert len(first.clips) == 4
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(f"warning: {room}: left out 4 files that cannot be used: 0.wav: ")
    assert "2.wav: " in message
    assert message.endswith("; ...")


def test_silence_tells_nothing_of_a_place(room, caplog):
    soundfile.write(room / "0.wav", np.zeros(RATE), RATE)
    assert len(unlabelled.read(str(room)).clips) == 4
    assert "left out 1 files that cannot be used: 0.wav: is silent" in caplog.text


def test_a_folder_without_recordings_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="it holds no audio files"):
        unlabelled.read(str(tmp_path / "empty"))
    (tmp_path / "empty" / "a.wav").write_text("no audio")
    with pytest.raises(DataError, match=r"a\.wav: "):
        unlabelled.read(str(tmp_path / "empty"))


@pytest.mark.parametrize("name", ["gone", "user/data", "https://huggingface.co/datasets/a/b"])
def test_a_folder_that_is_not_there_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="there is no such folder; name one with recordings"):
        unlabelled.read(name)
