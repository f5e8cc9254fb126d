import hashlib
import os

import pytest

from speech_intent import digests, user_cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and every file counts as a large one that nobody has touched lately."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "ALWAYS_READ", -1)
    monkeypatch.setattr(digests, "SETTLED", -1.0)
    return tmp_path / "cache" / "speech_intent"


@pytest.fixture
def reads(monkeypatch):
    """Note which files are read."""
    noted = []
    sha256 = digests.sha256

    def note(file):
        noted.append(file)
        return sha256(file)

    monkeypatch.setattr(digests, "sha256", note)
    return noted


@pytest.mark.parametrize("content", [b"", b"a", bytes(range(256)) * 5_000])
def test_the_whole_file_counts(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert digests.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_no_digest_is_no_match(tmp_path):
    (tmp_path / "file").write_bytes(b"a")
    assert not digests.has_digest(tmp_path / "file", None)
    assert not digests.has_digest(tmp_path / "file", "")


def test_a_small_file_is_read_each_time(tmp_path, reads):
    file = tmp_path / "file"
    file.write_bytes(b"a")
    digest = hashlib.sha256(b"a").hexdigest()
    assert digests.has_digest(file, digest)
    assert digests.has_digest(file, digest)
    assert len(reads) == 2


def test_a_large_file_is_read_once_until_it_changes(tmp_path, cache, reads):
    file = tmp_path / "file"
    file.write_bytes(b"a")
    digest = hashlib.sha256(b"a").hexdigest()
    assert digests.has_digest(file, digest)
    assert digests.has_digest(file, digest)
    assert len(reads) == 1
    assert not digests.has_digest(file, hashlib.sha256(b"b").hexdigest())
    assert len(reads) == 2


def test_bytes_changed_under_the_same_time_and_size_are_noticed(tmp_path, cache):
    file = tmp_path / "file"
    file.write_bytes(b"a")
    digest = hashlib.sha256(b"a").hexdigest()
    assert digests.has_digest(file, digest)
    status = file.stat()
    while file.stat().st_ctime_ns == status.st_ctime_ns:  # the file system's clock ticks
        file.write_bytes(b"b")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_mtime_ns == status.st_mtime_ns
    assert not digests.has_digest(file, digest)


def test_a_file_that_was_written_a_moment_ago_is_read_again(tmp_path, cache, reads, monkeypatch):
    monkeypatch.setattr(digests, "SETTLED", 2.0)
    (tmp_path / "file").write_bytes(b"a")
    digest = hashlib.sha256(b"a").hexdigest()
    assert digests.has_digest(tmp_path / "file", digest)
    assert digests.has_digest(tmp_path / "file", digest)
    assert len(reads) == 2


def test_without_a_cache_it_is_read_each_time(tmp_path, cache, reads, monkeypatch):
    monkeypatch.setattr(user_cache, "cache_folder", lambda: None)
    (tmp_path / "file").write_bytes(b"a")
    digest = hashlib.sha256(b"a").hexdigest()
    assert digests.has_digest(tmp_path / "file", digest)
    assert digests.has_digest(tmp_path / "file", digest)
    assert len(reads) == 2
