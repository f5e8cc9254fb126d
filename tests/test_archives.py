"""Zips of data folders: they are as good as the folder, and none gets out of its place."""

import os
import shutil
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from speech_intent import archives, data, folders, train
from speech_intent.errors import DataError
from speech_intent.recipes import resolve

TABLE = "file_name,intent\na.wav,on\nb.wav,off\nc.wav,on\nd.wav,off\n"
CLIPS = {f"{name}.wav": name.encode() for name in "abcd"}
GOOD = {"metadata.csv": TABLE.encode(), **CLIPS}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache with nothing in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "speech_intent" / "zips"


@pytest.fixture
def pack(tmp_path):
    """Pack members under their names, or `ZipInfo`s, into mine.zip."""

    def pack(members, compression=zipfile.ZIP_DEFLATED) -> Path:
        path = tmp_path / "mine.zip"
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
            warnings.simplefilter("ignore")  # of names that occur twice
            for name, content in dict(members).items() if isinstance(members, dict) else members:
                archive.writestr(name, content)
        return path

    return pack


def names_in(path: Path) -> list[str]:
    """Read what a zip holds as a folder."""
    return list(folders.read_table(folders.find_folder(path))["file_name"])


def problems_of(path: Path) -> list[str]:
    with pytest.raises(DataError) as error:
        folders.find_folder(path)
    assert error.value.name == str(path)
    return list(error.value.problems)


def left_in(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*") if path.is_file()]


# What is read


@pytest.mark.parametrize("top", ["", "mine/", "any/where/"])
@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_folder_or_what_is_in_it_may_be_packed(pack, top, compression):
    path = pack({top + name: content for name, content in GOOD.items()}, compression)
    assert names_in(path) == list(CLIPS)
    folder = folders.find_folder(path)
    assert all((folder / name).read_bytes() == content for name, content in GOOD.items())


def test_other_layouts_may_be_packed(pack):
    members = {f"{split}/{i}/{i}{split}.wav": b"" for split in ("train", "test") for i in (1, 2)}
    table = folders.read_table(folders.find_folder(pack(members)))
    assert list(zip(table["intent"], table["split"], strict=True)) == [
        ("1", "test"),
        ("2", "test"),
        ("1", "train"),
        ("2", "train"),
    ]


@pytest.mark.parametrize("name", ["train.csv", "intents.csv"])
def test_a_table_of_any_name_beside_a_folder_of_clips_may_be_packed(pack, name):
    """As Hydrogen Torch takes them: names count from the folder, and there may be folds."""
    table = "audio,label,transcription,fold\n1.wav,on,x,0\n2.wav,off,y,1\n3.wav,on,z,0\n"
    clips = {f"clips/{i}.wav": b"" for i in (1, 2, 3)}
    found = folders.read_folder(folders.find_folder(pack({name: table.encode(), **clips}))).table
    assert list(found["file_name"]) == list(clips)
    assert list(found["intent"]) == ["on", "off", "on"]
    assert list(found["text"]) == ["x", "y", "z"]
    assert list(found["fold"]) == ["0", "1", "0"]
    assert set(found["split"]) == {""}


def test_the_only_folder_may_be_that_of_a_split(pack):
    members = {f"train/{name}": content for name, content in GOOD.items()}
    assert names_in(pack(members)) == [f"train/{name}" for name in CLIPS]


def test_only_tables_and_clips_are_unpacked(pack, cache):
    junk = ("__MACOSX/._a.wav", ".DS_Store", "Thumbs.db", ".git/x.wav", "run.sh", "more.zip")
    names_in(pack(GOOD | dict.fromkeys(junk, b"x")))
    assert sorted(left_in(cache)) == sorted(GOOD)


def test_backslashes_of_windows_are_separators(pack):
    table = TABLE.replace("a.wav", "clips/a.wav").encode()
    members = GOOD | {"metadata.csv": table, "clips\\a.wav": b""}
    del members["a.wav"]
    assert names_in(pack(members))[0] == "clips/a.wav"


def test_a_zip_is_unpacked_once(pack, cache, monkeypatch):
    path = pack(GOOD)
    folder = folders.find_folder(path)
    assert folder.name == "mine"
    assert folder.is_relative_to(cache)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert folders.find_folder(path) == folder
    monkeypatch.undo()


def test_other_contents_are_unpacked_anew(pack):
    folder = folders.find_folder(pack(GOOD))
    other = folders.find_folder(pack(GOOD | {"a.wav": b"other"}))
    assert (folder / "a.wav").read_bytes() == b"a"
    assert (other / "a.wav").read_bytes() == b"other"


def test_where_no_cache_can_be_written_a_temporary_folder_does(pack, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    archives._temporary_folder.cache_clear()
    path = pack(GOOD)
    folder = folders.find_folder(path)
    assert folder.is_relative_to(archives._temporary_folder())
    assert names_in(path) == list(CLIPS)
    shutil.rmtree(archives._temporary_folder())
    archives._temporary_folder.cache_clear()


def test_recordings_in_a_zip_are_trained_on_and_published(tone_folder, tmp_path, capsys):
    path = Path(shutil.make_archive(str(tmp_path / "tones"), "zip", tone_folder))
    of_folder = data.load_data(resolve(data=tone_folder)).tables
    of_zip = data.load_data(resolve(data=path)).tables
    assert data.facts(of_zip) == data.facts(of_folder)
    assert of_zip["test"][0]["seconds"] == of_folder["test"][0]["seconds"]
    (tmp_path / "bad.zip").write_bytes(b"PK")
    options = ["--data", str(tmp_path / "bad.zip"), "--output-dir", str(tmp_path / "out")]
    assert train.main(options) == 1
    assert "it is no zip, or damaged" in capsys.readouterr().err


# What is refused


@pytest.mark.parametrize(
    "name",
    [
        "../a.wav",
        "clips/../../a.wav",
        "/tmp/a.wav",
        "C:/a.wav",
        "C:a.wav",
        "c:\\a.wav",
        "..\\a.wav",
        "clips\\..\\..\\a.wav",
        "\\\\server\\share\\a.wav",
        "../a.txt",
        "../",
        "__MACOSX/../../a.wav",
    ],
)
def test_no_path_leaves_the_folder(pack, cache, name):
    (problem,) = problems_of(pack(GOOD | {name: b"x"}))
    assert problem.endswith(" leaves the folder")
    assert left_in(cache) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(pack, cache, kind):
    link = zipfile.ZipInfo("e.wav")
    link.external_attr = (kind | 0o777) << 16
    assert problems_of(pack([*GOOD.items(), (link, "/etc/hostname")])) == [
        "e.wav is a link, or no file"
    ]
    assert left_in(cache) == []


@pytest.mark.parametrize("name", ["a.wav", "./a.wav", ".\\a.wav"])
def test_two_members_of_one_name_are_refused(pack, name):
    assert problems_of(pack([*GOOD.items(), (name, b"other")])) == ["a.wav is in it twice"]


def test_a_file_that_is_a_folder_too_is_refused(pack, cache):
    problem = "a.wav/e.wav cannot be unpacked (File exists)"
    assert problems_of(pack(GOOD | {"a.wav/e.wav": b""})) == [problem]
    assert left_in(cache) == []


def test_a_name_that_no_disk_holds_is_named(pack, cache):
    (problem,) = problems_of(pack(GOOD | {"x" * 300 + ".wav": b""}))
    assert problem.endswith("x.wav cannot be unpacked (File name too long)")
    assert left_in(cache) == []


def test_encrypted_members_are_refused(pack):
    path = pack(GOOD)
    packed = bytearray(path.read_bytes())
    place = packed.index(b"PK\x01\x02")  # the first member in the directory
    packed[place + 8] |= 1
    path.write_bytes(packed)
    assert problems_of(path) == ["metadata.csv is encrypted; unpack it with its password"]


def test_a_bomb_is_stopped_by_what_it_writes(pack, cache, monkeypatch):
    monkeypatch.setattr(archives, "ALLOWANCE", 100_000)
    path = pack(GOOD | {"e.wav": bytes(3_000_000)})
    limit = 20 * path.stat().st_size + 100_000
    problem = f"it unpacks to over {limit:,} bytes, as no recordings do"
    assert problems_of(path) == [problem]
    assert left_in(cache) == []
    # Its header may say anything.
    packed = path.read_bytes()
    assert packed.count(struct.pack("<I", 3_000_000)) == 2
    path.write_bytes(packed.replace(struct.pack("<I", 3_000_000), struct.pack("<I", 3)))
    assert len(problems_of(path)) == 1
    assert left_in(cache) == []


def test_the_disk_is_not_filled(pack, cache, monkeypatch):
    usage = shutil.disk_usage(cache.parents[1].parent)._replace(free=archives.RESERVE + 50)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert problems_of(pack(GOOD)) == ["what it holds does not fit on the disk"]
    assert left_in(cache) == []


def test_a_zip_of_too_many_files_is_refused(pack, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 4)
    assert problems_of(pack(GOOD)) == ["it holds 5 files, and may hold 4"]


@pytest.mark.parametrize("members", [{}, {"notes.txt": b"x"}, {"inner.zip": b"PK"}])
def test_a_zip_without_recordings_is_refused(pack, members):
    assert problems_of(pack(members)) == ["it holds no table and no audio; unpack zips within it"]


@pytest.mark.parametrize("size", [0, 10, 200, -1])
def test_a_cut_zip_is_damaged(pack, cache, size):
    path = pack(GOOD)
    path.write_bytes(path.read_bytes()[:size])
    (problem,) = problems_of(path)
    assert problem.startswith("it is no zip, or damaged (")
    assert left_in(cache) == []


def test_no_damage_raises_anything_else(pack, cache):
    path = pack({name: content * 50 for name, content in GOOD.items()})
    packed = path.read_bytes()
    n_refused = 0
    places = range(0, len(packed), 7)
    for place in places:
        changed = bytearray(packed)
        changed[place] ^= 0x55
        path.write_bytes(changed)
        try:
            folders.read_folder(folders.find_folder(path))
        except DataError:
            n_refused += 1
    assert n_refused > len(places) // 3
    assert not [path for path in cache.rglob("*") if path.name.startswith(".partial")]


def test_what_was_downloaded_in_its_place_is_named(tmp_path):
    path = tmp_path / "mine.zip"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert problems_of(path)[0].startswith("it is a pointer of Git LFS; run `git lfs pull`")
    path.write_text("\n<html><body>Not found</body></html>")
    assert problems_of(path) == ["it is a web page; download the file itself"]


def test_a_file_that_is_no_zip(tmp_path):
    path = tmp_path / "metadata.csv"
    path.write_text(TABLE)
    assert problems_of(path) == [
        "it is a file; name the folder that holds it, or a zip of that folder"
    ]


def test_two_processes_may_unpack_at_once(pack, monkeypatch):
    """The slower one finds the folder of the quicker one, and leaves nothing behind."""
    path = pack(GOOD)
    rename = Path.rename

    def be_late(partial: Path, target: Path) -> None:
        shutil.copytree(partial, target)
        rename(partial, target)

    monkeypatch.setattr(Path, "rename", be_late)
    folder = folders.find_folder(path)
    assert sorted(os.listdir(folder)) == sorted(GOOD)
    assert os.listdir(folder.parent) == ["mine"]
