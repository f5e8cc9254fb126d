import math

import pytest

from speech_intent.errors import ModelError
from speech_intent.json_fields import LARGEST_FILE, Fields, is_text, read_json


def test_json_is_read_as_utf_8(tmp_path):
    (tmp_path / "config.json").write_bytes('{"größe": [0]}'.encode())
    assert read_json(tmp_path / "config.json") == {"größe": [0]}


@pytest.mark.parametrize(
    "content", [None, b"", b"damaged", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"[" * 100_000]
)
def test_json_that_cannot_be_read_is_named(tmp_path, content):
    file = tmp_path / "config.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelError) as error:
        read_json(file)
    assert error.value.name == str(file)
    assert error.value.problem.startswith("cannot be read (")
    assert error.value.remedy == "save, export or download the model again"


@pytest.mark.parametrize("content", ["[]", "null", "7", '"text"', "true"])
def test_json_that_is_no_object_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ModelError, match="holds no JSON object"):
        read_json(tmp_path / "a.json")


def test_a_large_file_is_not_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b" " * LARGEST_FILE + b"{}")
    with pytest.raises(ModelError, match="has more than 16 MB"):
        read_json(tmp_path / "a.json")


def fields(**values) -> Fields:
    return Fields("a.json", values)


@pytest.mark.parametrize("value", [0, 1, 0.5, 1e-300])
def test_a_number_within_bounds_is_given(value):
    assert fields(x=value).number("x", 0, 1) == value


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "x is missing"),
        ({"x": None}, "x is null"),
        ({"x": "1"}, 'x is "1"'),
        ({"x": True}, "x is true"),
        ({"x": [1]}, "x is a list"),
        ({"x": {}}, "x is an object"),
        ({"x": 1.5}, "x is 1.5"),
        ({"x": -1}, "x is -1"),
        ({"x": math.nan}, "x is NaN"),
        ({"x": math.inf}, "x is Infinity"),
        ({"x": 10**400}, "x is 1000000000"),
    ],
)
def test_anything_else_is_said_with_what_it_must_be(values, words):
    with pytest.raises(ModelError) as error:
        fields(**values).number("x", 0, 1)
    assert error.value.name == "a.json"
    assert error.value.problem.startswith(words)
    assert error.value.problem.endswith(", and must be a number, 0 to 1")


def test_numbers_without_bounds_are_finite_all_the_same():
    assert fields(x=-1e300).number("x") == -1e300
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ModelError, match="and must be a number;"):
            fields(x=value).number("x")
    with pytest.raises(ModelError, match="must be a number, 2 or more;"):
        fields(x=1).number("x", low=2)


def test_whole_numbers_truth_values_texts_and_objects():
    some = fields(n=3, flag=False, text="a", child={"b": 1}, children=[{"c": 2}, {}], null=None)
    assert some.whole("n", 1, 3) == 3
    assert some.flag("flag") is False
    assert some.text("text") == "a"
    assert some.child("child").whole("b", 1, 1) == 1
    assert [child.values for child in some.children("children")] == [{"c": 2}, {}]
    assert [some.says(name) for name in ("flag", "null", "gone")] == [True, False, False]
    for name, read in [
        ("flag", lambda name: some.whole(name, 0, 1)),
        ("n", lambda name: some.whole(name, 4, 9)),
        ("n", some.flag),
        ("null", some.text),
        ("children", some.child),
        ("child", some.children),
    ]:
        with pytest.raises(ModelError, match=f"{name} is .*, and must be "):
            read(name)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", True), ("größe", True), ("", False), (" \n", False), ("\ud800", False), (7, False)],
)
def test_a_text_shows_something_and_can_be_written(value, expected):
    assert is_text(value) is expected
