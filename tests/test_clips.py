import errno
import os

import numpy as np
import pytest

from speech_intent.clips import check_format, mixed, name_of, open_clip
from speech_intent.errors import AudioError


def assert_refused(source, name: str, problem: str, remedy: str) -> None:
    with pytest.raises(AudioError) as error:
        open_clip(source, name)
    assert (error.value.name, error.value.problem, error.value.remedy) == (name, problem, remedy)


# Where a clip comes from


def test_paths_bytes_and_rows_of_datasets_are_opened(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(b"samples")
    sources = [path, str(path), b"samples", {"bytes": None, "path": str(path)}]
    sources.append({"bytes": b"samples", "path": "gone.wav"})
    for source in sources:
        with open_clip(source, "clip") as stream:
            assert stream.read() == b"samples"
    names = ["clip.wav", "bytes", "gone.wav", "bytes", "array"]
    rows = ["clip.wav", b"", {"bytes": b"", "path": "gone.wav"}, {"bytes": b""}]
    assert [name_of(source) for source in [*rows, (np.zeros(1), 8_000)]] == names


@pytest.mark.parametrize(
    ("name", "problem", "remedy"),
    [
        ("gone.wav", "does not exist", "check the path"),
        ("", "is a folder", "name an audio file in it"),
        ("file/clip.wav", "lies in what is no folder", "check the path"),
        ("x" * 300, "has too long a name", "give it a shorter one"),
        ("loop", "is a link that leads back to itself", "name the file itself"),
    ],
)
def test_a_path_that_leads_nowhere_is_named_with_its_cause(tmp_path, name, problem, remedy):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert_refused(tmp_path / name, "clip", problem, remedy)


def test_an_address_is_no_path():
    address = "https://example.org/clip.wav"
    assert_refused(address, address, "is an address, not a file", "download it first")


def test_a_null_character_is_in_no_path():
    assert_refused("a\0b", "clip", "cannot be read (embedded null byte)", "check the path")


def test_a_pipe_is_refused():
    reader, writer = os.pipe()
    os.write(writer, b"samples")
    os.close(writer)
    problem = "is a pipe or a device, which cannot be read twice"
    assert_refused(f"/dev/fd/{reader}", "clip", problem, "write it to a file first")
    os.close(reader)


def test_a_pipe_that_nobody_writes_into_and_a_device_without_end_are_refused_at_once(tmp_path):
    path = str(tmp_path / "fifo.wav")
    os.mkfifo(path)
    problem = "is a pipe or a device, which cannot be read twice"
    for name in (path, "/dev/zero"):
        assert_refused(name, "clip", problem, "write it to a file first")


@pytest.mark.parametrize(
    ("number", "problem", "remedy"),
    [
        (errno.EACCES, "may not be read", "change its permissions, or those of its folder"),
        (
            errno.EMFILE,
            "cannot be opened: too many files are open",
            "raise `ulimit -n`, or give fewer",
        ),
        (errno.EIO, "cannot be read: its disk or drive fails", "copy it from elsewhere"),
        (errno.ENOMEM, "cannot be read (no memory)", "check the path and its permissions"),
    ],
)
def test_what_a_system_says_becomes_its_own_message(monkeypatch, number, problem, remedy):
    def refuse(*args, **kwargs):  # root may read everything, so that chmod would prove nothing
        raise OSError(number, "no memory")

    monkeypatch.setattr("builtins.open", refuse)
    assert_refused("locked.wav", "locked.wav", problem, remedy)


def test_a_file_that_opens_and_cannot_be_read_is_refused():
    problem = "cannot be read: its disk or drive fails"
    assert_refused("/proc/self/mem", "clip", problem, "copy it from elsewhere")


# What it may be


@pytest.mark.parametrize("rate", [1_000, 655_350, 22_050.5])
def test_a_rate_of_recordings_is_taken(rate):
    check_format("clip", rate, 64)


@pytest.mark.parametrize("rate", [0, 1, 999, 655_351, -8_000, np.nan, np.inf])
def test_a_rate_that_nobody_records_at_is_refused(rate):
    with pytest.raises(AudioError, match="has a sampling rate of") as error:
        check_format("clip", rate, 1)
    assert error.value.remedy == "record it at one between 1,000 and 655,350 Hz, say 16,000"


def test_channels_are_averaged_and_their_energy_is_kept():
    samples = np.array([[1.0, -1.0], [0.5, 0.5], [0.0, 1.0]], np.float32)
    block = mixed(samples, 8_000)
    np.testing.assert_array_equal(block.waveform, np.array([0, 0.5, 0.5], np.float32))
    assert block.format == (8_000, 2)
    assert block.energy == pytest.approx((2 + 0.5 + 1) / 2)
