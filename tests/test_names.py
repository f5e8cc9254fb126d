import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_intent.names import (
    composed,
    escape_markdown,
    file_stem,
    first_line,
    likeness,
    one_line,
    printable,
    shortened,
    stripped,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain name.wav", "plain name.wav"),
        ("früh ☀ 電池", "früh ☀ 電池"),
        ("two\nlines", r"two\nlines"),
        ("\x1b[31mred", r"\x1b[31mred"),
        (os.fsdecode(b"caf\xe9.wav"), r"caf\udce9.wav"),
        ("", ""),
    ],
)
def test_what_is_no_text_is_escaped(text, expected):
    assert printable(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  turn \t on\r\nthe light ", "turn on the light"),
        ("a\x00b\u2028c", "a b c"),
        ("früh ☀", "früh ☀"),
        (" \n", ""),
        (None, ""),
    ],
)
def test_a_text_becomes_one_line(text, expected):
    assert one_line(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann", "ann"),
        ("user/model-1.0", "user--model-1.0"),
        ("../../escaped/ann", "escaped--ann"),
        ("/etc/passwd", "etc--passwd"),
        (r"..\..\windows", "windows"),
        (r"C:\x", "C_--x"),
        ("lights: on", "lights__on"),
        ("$5_or_$6", "_5_or__6"),
        ("Zoë 電池", "Zoë_電池"),
        ("a\x00\nb", "a__b"),
        (".hidden", "hidden"),
        ("..", "_"),
        ("", "_"),
        ("/", "_"),
        ("x" * 100, "x" * 80),
    ],
)
def test_a_name_becomes_a_file_name(text, expected):
    assert file_stem(text) == expected


@given(st.text())
def test_a_file_name_is_one_safe_part_of_a_path(text):
    stem = file_stem(text)
    assert 1 <= len(stem) <= 80
    assert stem not in (".", "..")
    assert not set(stem) & set('/\\:*?"<>|\0\n')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("turn on", "turn on"),
        ("*x*", r"\*x\*"),
        ("<img src=x>", r"\<img src=x\>"),
        ("# a", r"\# a"),
        ("![a](b)", r"!\[a\](b)"),
        ("12. a", r"12\. a"),
        ("a 12. b", "a 12. b"),
        ("see https://a.org", r"see https\://a.org"),
        ("www.a.org", r"www\.a.org"),
        ("ann@a.org", r"ann\@a.org"),
        ("lights: on", "lights: on"),
        ("wav2vec2-small-en 1.5 (new)", "wav2vec2-small-en 1.5 (new)"),
        ("a|b", r"a\|b"),
        ("`code`", r"\`code\`"),
        ("$5_or_$6", r"\$5\_or\_\$6"),
        ("~~gone~~", r"\~\~gone\~\~"),
        ("- a", r"\- a"),
        ("+ a", r"\+ a"),
        ("&lt;", r"\&lt;"),
        (r"\*", r"\\\*"),
        ("{a}", r"\{a\}"),
        ("a\n\n# b", r"a \# b"),
    ],
)
def test_nothing_in_a_name_is_markup(text, expected):
    assert escape_markdown(text) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  \n one\n two"), "one"),
        (ValueError("x" * 400), "x" * 300),
        (TimeoutError(), "TimeoutError"),
        (OSError("  "), "OSError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_an_error_is_told_by_its_first_line_or_its_kind(error, expected):
    assert first_line(error) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  turn on\t", "turn on"),
        ("\ufeff\u200b\xa0on\u2060\u3000", "on"),
        ("a\u200db", "a\u200db"),  # joins letters in some scripts
        ("\u200b", ""),
    ],
)
def test_what_cannot_be_seen_is_taken_off_the_ends(text, expected):
    assert stripped(text) == expected


@pytest.mark.parametrize(
    "other",
    [
        "Turn on",
        "TURN_ON",
        "turn-on",
        "turn  on",
        "turn\xa0on",
        "turn _ on",
        "turn\u2011on",
        "turn on\u200b",
        "tu\u00adrn on",
        "ｔｕｒｎ on",
        " turn on ",
    ],
)
def test_names_that_people_take_for_the_same_are_alike(other):
    assert likeness(other) == likeness("turn on") == "turn_on"


def test_accents_and_sharp_s_are_alike_in_every_form():
    assert likeness("Cafe\u0301") == likeness("café")
    assert likeness("STRASSE") == likeness("straße")


@pytest.mark.parametrize(
    ("one", "other"), [("on", "off"), ("turnon", "turn on"), ("volume+", "volume-"), ("1", "11")]
)
def test_names_that_people_tell_apart_are_not_alike(one, other):
    assert likeness(one) != likeness(other)


def test_accents_are_composed():
    assert composed("cafe\u0301") == "café"


def test_a_long_text_loses_its_middle():
    assert shortened("x" * 300) == "x" * 300
    assert shortened("a" * 200 + "b" * 200) == "a" * 150 + " ... " + "b" * 150
