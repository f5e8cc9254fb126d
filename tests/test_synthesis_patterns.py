"""Patterns: what they stand for, and what is said of brackets that do not fit."""

import numpy as np
import pytest

from speech_intent.synthesis.patterns import PatternError, count, draw, may_be_empty, parse


def sentences(text: str, n: int = 300) -> set[str]:
    rng = np.random.default_rng(0)
    pattern = parse(text)
    return {draw(pattern, rng) for _ in range(n)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stop", {"stop"}),
        ("  turn   it off ", {"turn it off"}),
        ("[go|stop]", {"go", "stop"}),
        ("{go|stop} now", {"go now", "stop now"}),
        ("[please|] stop", {"please stop", "stop"}),
        ("[|please] stop", {"please stop", "stop"}),
        ("lamp[s|]", {"lamps", "lamp"}),
        ("[go [left|right]|stop]", {"go left", "go right", "stop"}),
        ("{a {b|c}|[d|e]}", {"a b", "a c", "d", "e"}),
        (
            "[turn|switch] on the {lamp|light}",
            {"turn on the lamp", "turn on the light", "switch on the lamp", "switch on the light"},
        ),
    ],
)
def test_a_pattern_gives_each_of_its_sentences(text, expected):
    assert sentences(text) == expected
    assert count(parse(text)) == len(expected)


def test_each_way_has_the_same_chance():
    rng = np.random.default_rng(0)
    drawn = [draw(parse("[a|b|c|d]"), rng) for _ in range(4_000)]
    assert all(900 < drawn.count(letter) < 1_100 for letter in "abcd")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("turn [on", "'[' at character 6 is never closed"),
        ("[a {b|c]", "'{' at character 4 is closed by ']'"),
        ("[a|b}", "'[' at character 1 is closed by '}'"),
        ("a] b", "']' at character 2 closes no bracket"),
        ("on|off", "a bar stands outside of brackets"),
    ],
)
def test_brackets_that_do_not_fit_are_named(text, problem):
    with pytest.raises(PatternError) as caught:
        parse(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "empty"),
    [("[a|]", True), ("[a|][b| ]", True), ("[[a|]|b]", True), ("[a|] b", False), ("[a|b]", False)],
)
def test_a_pattern_that_may_say_nothing_is_known(text, empty):
    assert may_be_empty(parse(text)) == empty
