"""Which file a name means, and why none."""

import unicodedata

import pytest

from speech_intent.clip_files import LEAVES, ClipFile, ClipFiles


@pytest.fixture
def find(tmp_path):
    """Find a name among the files of a folder."""
    names = ("clips/a.wav", unicodedata.normalize("NFD", "früh/é.wav"), "Loud/B.WAV")
    for name in names:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    return lambda name: ClipFiles(tmp_path / "data", names).find(name)


@pytest.mark.parametrize("name", ["clips/a.wav", "./clips/a.wav", "clips//a.wav"])
def test_a_file_is_found_by_its_name(find, name):
    assert find(name) == ClipFile(name, None)


def test_accents_may_be_written_otherwise_on_the_disk(find):
    composed = unicodedata.normalize("NFC", "früh/é.wav")
    decomposed = unicodedata.normalize("NFD", "früh/é.wav")
    assert composed != decomposed
    assert find(composed) == find(decomposed) == ClipFile(decomposed, None)


def test_a_name_in_other_case_is_told_what_there_is(find):
    problem = "there is no such file; there is Loud/B.WAV"
    assert find("loud/b.wav") == ClipFile("loud/b.wav", problem)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "file_name is empty"),
        ("gone.wav", "there is no such file"),
        ("clips/a.wav/b.wav", "there is no such file"),
        ("a\0.wav", "there is no such file"),
        ("clips", "is no file"),
        ("clips/a", "there is no such file; there is clips/a.wav"),
        (".env", "is a hidden file, or in a hidden folder; name it otherwise"),
        (".git/a.wav", "is a hidden file, or in a hidden folder; name it otherwise"),
        ("x" * 300 + ".wav", "there is no such file to be read (File name too long)"),
        ("/etc/hostname", LEAVES),
        ("C:/clips/a.wav", LEAVES),
        ("C:a.wav", LEAVES),
        ("//server/a.wav", LEAVES),
        ("clips/../clips/a.wav", LEAVES),
    ],
)
def test_every_other_name_has_its_reason(find, name, problem):
    assert find(name) == ClipFile(name, problem)


def test_links_are_followed_within_the_folder_only(find, tmp_path):
    data = tmp_path / "data"
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.wav").touch()
    (data / "inner.wav").symlink_to("clips/a.wav")
    (data / "outer.wav").symlink_to(tmp_path / "outside" / "x.wav")
    (data / "folder").symlink_to(tmp_path / "outside")
    problem = "is a link that leaves the folder; copy the file into it"
    assert find("inner.wav") == ClipFile("inner.wav", None)
    assert find("outer.wav") == ClipFile("outer.wav", problem)
    assert find("folder/x.wav") == ClipFile("folder/x.wav", problem)


def test_the_hubs_cache_may_link_to_its_blobs_and_nothing_else(tmp_path):
    snapshot = tmp_path / "repo" / "snapshots" / "0123"
    blobs = tmp_path / "repo" / "blobs"
    for folder in (snapshot, blobs):
        folder.mkdir(parents=True)
    (blobs / "45").touch()
    (tmp_path / "secret").touch()
    (snapshot / "a.wav").symlink_to("../../blobs/45")
    (snapshot / "b.wav").symlink_to(tmp_path / "secret")
    files = ClipFiles(snapshot, ())
    assert files.find("a.wav").problem is None
    assert files.find("b.wav").problem.startswith("is a link that leaves the folder")
