"""Files of tables in the encodings and forms that people save them in, whole and damaged."""

import codecs
import json
import random
import re

import pytest

from speech_intent.table_files import read_rows

KNOWN = ("file_name", "intent")
TEXT = "file_name,intent,text\na.wav,früh,please\nb.wav,電,now\n"
ROWS = [["a.wav", "früh", "please"], ["b.wav", "電", "now"]]


def shifted(data: bytes) -> bytes:
    """Insert a byte into the second line, and another at the end."""
    place = data.index(b"w", data.index(b"a\0."))
    return data[:place] + b"x" + data[place:] + b"x"


@pytest.fixture
def read(tmp_path):
    """Read bytes as a file of a name; give its rows."""

    def read(data: bytes, name: str = "metadata.csv"):
        (tmp_path / name).write_bytes(data)
        return read_rows(tmp_path / name, KNOWN)

    return read


# Encodings


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF16_LE + TEXT.replace(",", "\t").encode("utf-16-le"),  # "Unicode Text"
        TEXT.encode("utf-32"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_encodings_and_line_ends(read, data, line_end):
    encoding = {TEXT.encode(): "utf-8"}.get(data)
    if line_end != "\n" and encoding:
        data = data.replace(b"\n", line_end.encode())
    rows = read(data)
    assert rows.problems == ()
    assert rows.table.to_numpy().tolist() == ROWS


def test_a_code_page_is_named_with_the_line_and_the_remedy(read):
    rows = read("file_name,intent\na.wav,on\nb.wav,früh\n".encode("cp1252"))
    (problem,) = rows.problems
    assert problem.startswith("line 3: is not UTF-8 (byte 0xfc), ")
    assert problem.endswith("save it as 'CSV UTF-8'")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b" \r\n\n", "is empty"),
        (codecs.BOM_UTF8, "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS; run"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "is a web page; download the file itself"),
        (b"PK\x03\x04\x14\0", "is a spreadsheet or a zip; save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is a spreadsheet; save it as CSV"),
        (b"file_name,intent\na\0.wav,on\n", "line 2: holds a null character"),
        (TEXT.encode("utf-16")[:-1], "begins as UTF-16"),
        (shifted(TEXT.encode("utf-16")), "line 2: a byte of UTF-16 is lacking or too many"),
    ],
)
def test_what_is_no_text_is_named(read, data, problem):
    rows = read(data)
    assert rows.table.empty
    assert [each[: len(problem)] for each in rows.problems] == [problem]


def test_a_file_that_is_not_there(tmp_path):
    rows = read_rows(tmp_path / "metadata.csv", KNOWN)
    assert rows.problems == ("cannot be read (No such file or directory)",)


# An object a line


def test_objects_a_line_are_rows_of_text(read):
    lines = [
        {"file_name": "a.wav", "intent": 3, "seconds": 1.50, "known": True, "text": None},
        {"intent": " on ", "file_name": "b.wav", " ": "x"},
    ]
    text = "\n\n".join(map(json.dumps, lines)) + "\r\n"
    rows = read(text.encode("utf-8-sig"), "metadata.jsonl")
    assert rows.problems == ()
    assert list(rows.table.columns) == ["file_name", "intent", "seconds", "known", "text"]
    assert rows.table.to_numpy().tolist() == [
        ["a.wav", "3", "1.5", "true", ""],
        ["b.wav", "on", "", "", ""],
    ]
    assert list(rows.table.index) == [1, 3]


def test_lists_and_objects_are_kept_where_nobody_uses_them(read):
    line = {"file_name": "a.wav", "intent": "on", "tokens": ["lights", 1], "entities": {"a": None}}
    rows = read(json.dumps(line).encode(), "metadata.jsonl")
    assert rows.problems == ()
    cells = ["a.wav", "on", '["lights", "1"]', '{"a": null}']
    assert rows.table.to_numpy().tolist() == [cells]


def test_numbers_stay_as_they_are_written(read):
    rows = read(b'{"file_name": 007.0e1, "intent": 1}', "metadata.jsonl")
    assert rows.problems[0].startswith("line 1: is not JSON")
    rows = read(b'{"file_name": 7.0e1, "intent": 1' + b"0" * 5000 + b"}", "m.jsonl")
    assert rows.table["file_name"].item() == "7.0e1"
    assert len(rows.table["intent"].item()) == 5001


def test_a_list_of_objects_is_told_to_be_lines(read):
    rows = read(b'[{"file_name": "a.wav"},\n{"file_name": "b.wav"}]', "metadata.jsonl")
    assert rows.problems == ("is one list of JSON; write one object a line",)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "is not JSON (Expecting property name enclosed in double quotes at character 2)"),
        ("a.wav,on", "is not JSON (Expecting value at character 1)"),
        ('["a.wav", "on"]', "is no object"),
        ("null", "is no object"),
        ('{"intent": ["on"]}', "its 'intent' is no text"),
        ('{"intent": {"a": 1}}', "its 'intent' is no text"),
        ('{"intent": "on", "intent": "off"}', "has the same key twice"),
        ('{"intent": "on", "intent ": "off"}', "has the same key twice"),
        (r'{"intent": "\ud800"}', "its 'intent' holds a null character, or half of one"),
        (r'{"intent": "\u0000"}', "its 'intent' holds a null character, or half of one"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
    ],
)
def test_lines_that_are_no_rows_are_named(read, line, problem):
    good = '{"file_name": "a.wav", "intent": "on"}'
    rows = read(f"{good}\n{line}\n{good}".encode(), "metadata.jsonl")
    assert [each[: len(problem) + 8] for each in rows.problems] == [f"line 2: {problem}"]
    assert list(rows.table.index) == [1, 3]


# Damage

NAME = re.compile(r"(\w*)\.wav")
INSERTED = [
    b'"',
    b"\n",
    b"\r",
    b",",
    b";",
    b"\t",
    b"sep=;\n",
    b"\xef\xbb\xbf",
    b"\0",
    b"\xff",
    b"{",
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Cut, flip or insert something a few times."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(changed) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            changed[place:place] = rng.choice(INSERTED)
        elif kind == 1 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del changed[place : place + rng.randint(1, 40)]
        else:
            changed[place:place] = changed[: rng.randint(0, 60)]
    return bytes(changed)


@pytest.mark.parametrize("form", ["csv", "utf-16", "jsonl"])
def test_no_damage_raises_anything_and_no_clip_is_lost_in_silence(read, form):
    """Each clip's name is in a row still, unless a problem or an odd header says why not."""
    lines = [f'clips/{i}.wav,intent {i % 3},"please, {i}"' for i in range(24)]
    rows = [{"file_name": f"{i}.wav", "intent": "on"} for i in range(24)]
    text = "\n".join(["file_name,intent,text", *lines])
    data = {
        "csv": text.encode(),
        "utf-16": text.encode("utf-16"),
        "jsonl": "\n".join(map(json.dumps, rows)).encode(),
    }[form]
    rng = random.Random(0)
    n_checked = 0
    for _ in range(1000):
        damaged = mutated(data, rng)
        found = read(damaged, "metadata.jsonl" if form == "jsonl" else "metadata.csv")
        assert found.problems or not found.table.empty
        columns = list(found.table.columns)
        if form == "csv" and columns[:2] == ["file_name", "intent"] and not found.problems:
            kept = "\n".join([*columns, *found.table.to_numpy().ravel()])
            names = NAME.findall(damaged.decode("utf-8-sig"))
            assert sorted(NAME.findall(kept)) == sorted(names)
            n_checked += 1
    assert n_checked > 100 or form != "csv"
