import numpy as np
import pytest

from speech_intent import compiled_models, user_cache
from speech_intent.compiled_models import HEADER, keep, place, read

BLOB = bytes(range(256)) * 50


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Where a compiled model would be kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return place("0" * 64, precision="float32")


def test_everything_that_decides_has_a_place_of_its_own(path, monkeypatch):
    assert place("0" * 64, precision="float32") == path
    others = [place("1" * 64, precision="float32"), place("0" * 64, precision="bfloat16")]
    monkeypatch.setattr(compiled_models, "_openvino", lambda: [1, 2, 3])
    others.append(place("0" * 64, precision="float32"))
    monkeypatch.setattr(compiled_models, "_processor", lambda: ["another"])
    others.append(place("0" * 64, precision="float32"))
    assert len({path, *others}) == 5


def test_without_a_cache_there_is_no_place(monkeypatch):
    monkeypatch.setattr(user_cache, "cache_folder", lambda: None)
    assert place("0" * 64) is None


def test_what_was_kept_is_read(path):
    assert read(path) is None
    keep(path, BLOB)
    assert read(path).tobytes() == BLOB
    assert read(path).flags.writeable  # as OpenVINO wants it
    assert read(path).dtype == np.uint8
    keep(path, b"other")
    assert read(path).tobytes() == b"other"


@pytest.mark.parametrize("position", [0, 5, HEADER - 1, HEADER, HEADER + 7_000, -1])
def test_one_changed_byte_is_noticed(path, position):
    keep(path, BLOB)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert read(path) is None


@pytest.mark.parametrize("length", [0, 1, HEADER - 1, HEADER, HEADER + 1, -1])
def test_a_file_that_was_cut_short_is_noticed(path, length):
    keep(path, BLOB)
    path.write_bytes(path.read_bytes()[:length])
    assert read(path) is None


def test_bytes_that_were_added_are_noticed(path):
    keep(path, BLOB)
    path.write_bytes(path.read_bytes() + b"\0")
    assert read(path) is None


def test_a_folder_in_its_place_is_no_model(path):
    path.mkdir()
    assert read(path) is None
    keep(path, BLOB)
    assert read(path) is None
