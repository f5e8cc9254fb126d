import os
import threading

import pytest

from speech_intent import user_cache


def test_the_cache_is_where_the_user_wants_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    assert user_cache.cache_folder() == tmp_path / "a" / "speech_intent"
    assert (tmp_path / "a" / "speech_intent").is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert user_cache.cache_folder() == tmp_path / "home" / ".cache" / "speech_intent"


@pytest.mark.parametrize("given", ["", "relative", "./here"])
def test_a_cache_that_would_lie_wherever_one_works_is_not_taken(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert user_cache.cache_folder() == tmp_path / "home" / ".cache" / "speech_intent"


def test_there_may_be_no_place_for_one(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert user_cache.cache_folder() is None


def test_a_file_is_there_whole_and_nothing_else(tmp_path):
    user_cache.keep(tmp_path / "a", [b"one", b"two"])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"onetwo"


def test_what_cannot_be_kept_is_not_kept(tmp_path):
    (tmp_path / "a").mkdir()
    user_cache.keep(tmp_path / "a", [b"one"])  # a folder is in the way
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    user_cache.keep(tmp_path / "gone" / "a", [b"one"])
    user_cache.used(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_many_writers_leave_one_whole_file(tmp_path):
    contents = [bytes([i]) * 100_000 for i in range(8)]
    threads = [
        threading.Thread(target=user_cache.keep, args=(tmp_path / "a", [content]))
        for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() in contents


@pytest.mark.parametrize(
    ("most_files", "most_bytes", "left"),
    [(3, 1_000, {"new", "4", "3"}), (99, 40, {"new", "4", "3", "2"}), (99, 5, {"new"})],
)
def test_what_was_used_longest_ago_goes_first(tmp_path, monkeypatch, most_files, most_bytes, left):
    monkeypatch.setattr(user_cache, "MOST_FILES", most_files)
    monkeypatch.setattr(user_cache, "MOST_BYTES", most_bytes)
    for i in range(5):
        (tmp_path / str(i)).write_bytes(bytes(10))
        os.utime(tmp_path / str(i), (1_000 + i, 1_000 + i))
    user_cache.keep(tmp_path / "new", [bytes(10)])
    assert {path.name for path in tmp_path.iterdir()} == left


def test_use_is_noted(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    os.utime(tmp_path / "a", (1_000, 1_000))
    user_cache.used(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mtime > 1_000_000
