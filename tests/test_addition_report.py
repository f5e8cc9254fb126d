"""What adding an intent did, counted by hand."""

import numpy as np
import pytest

from speech_intent.added_rows import Rows
from speech_intent.addition_report import in_words, report, share, warnings
from speech_intent.extended_head import Given, Learned
from speech_intent.intervals import wilson_interval

LABELS = ["ask", "bring", "stop"]
TRUTH = np.array([0] * 10 + [2] * 4)
BEFORE = np.array([0] * 9 + [2] + [2] * 4)
AFTER = np.array([0] * 5 + [1] * 4 + [0] + [2] * 3 + [1])


def learned(left_out) -> Learned:
    empty = np.zeros((0, 3))
    rows = Rows(np.zeros((3, 2)), np.zeros(3))
    return Learned(LABELS, rows, 1.0, TRUTH, BEFORE, AFTER, left_out, empty, np.zeros(0))


def given(speakers) -> Given:
    return Given(np.zeros((len(speakers), 2)), ["bring"] * len(speakers), speakers)


@pytest.fixture
def counted():
    return report(learned({"bring": np.array([1, 1, 0, 1])}), ["ask", "stop"], given([""] * 4))


def test_old_intents_are_counted_before_and_after(counted):
    assert counted["old"]["n"] == 14
    assert counted["old"]["before"] == share(13, 14)
    assert counted["old"]["after"] == share(9, 14)
    assert counted["per_intent"] == {
        "ask": {"n": 10, "before": 9, "after": 6, "lost_to": {"bring": 4}},
        "stop": {"n": 4, "before": 4, "after": 3, "lost_to": {"bring": 1}},
    }


def test_a_share_has_its_counts_and_interval():
    assert share(3, 4) == {
        "correct": 3,
        "n": 4,
        "accuracy": 0.75,
        "accuracy_interval": wilson_interval(3, 4),
    }
    assert share(0, 0)["accuracy"] is None


def test_new_clips_are_counted_when_left_out(counted):
    assert counted["added"] == {
        "bring": {
            "is_new": True,
            **share(3, 4),
            "held_out": "clips",
            "answers": {"bring": 3, "ask": 1},
        }
    }


@pytest.mark.parametrize(
    ("speakers", "held_out"),
    [(["ann", "ben"], "speakers"), (["ann", "ann"], "clips"), (["ann", ""], "clips")],
)
def test_it_says_whether_speakers_were_left_out(speakers, held_out):
    result = report(learned({"bring": np.array([1, 1])}), ["ask", "stop"], given(speakers))
    assert result["added"]["bring"]["held_out"] == held_out


def test_clips_of_an_old_intent_are_not_called_new():
    result = report(learned({"bring": np.array([1])}), LABELS, given([""]))
    assert not result["added"]["bring"]["is_new"]
    lines = list(in_words(result))
    assert "More clips of the old intent bring: 1." in lines
    assert any(line.split() == ["bring", "(no", "validation", "clips)"] for line in lines)


def test_people_read_counts_and_intervals(counted):
    assert list(in_words(counted)) == [
        "The old intents, by the 14 validation clips kept in the model:",
        "         before    after  lost to",
        "  ask      9/10     6/10  bring 4",
        "  stop      4/4      3/4  bring 1",
        "Right before: 13/14 = 0.929 (95 % interval 0.685 to 0.987)",
        "Right after: 9/14 = 0.643 (95 % interval 0.388 to 0.837)",
        "New intent bring, learned from 4 clips.",
        "Right by heads that never heard the clip: 3/4 = 0.750 (95 % interval 0.301 to 0.954)",
        "The others were taken for: ask 1",
    ]


def test_more_than_a_few_points_are_warned_of(counted):
    assert list(warnings(counted)) == [
        "ask lost answers: 9 of 10 validation clips were right before, 6 are now"
    ]


@pytest.mark.parametrize(
    ("n", "before", "after", "is_warned"),
    [
        (100, 90, 85, False),
        (100, 90, 84, True),
        (10, 9, 8, False),  # one clip
        (10, 9, 7, True),
        (10, 7, 9, False),
        (0, 0, 0, False),
    ],
)
def test_one_clip_or_few_points_are_not(n, before, after, is_warned):
    entry = {"n": n, "before": before, "after": after, "lost_to": {}}
    result = {"per_intent": {"ask": entry}, "added": {}}
    assert bool(list(warnings(result))) == is_warned


@pytest.mark.parametrize(("n_right", "is_warned"), [(0, True), (1, True), (2, False), (4, False)])
def test_an_intent_that_is_hardly_known_is_warned_of(n_right, is_warned):
    answers = np.array([1] * n_right + [0] * (4 - n_right))
    result = report(learned({"bring": answers}), [], given([""] * 4))
    words = (
        f"bring is hardly recognised: {n_right} of 4 new clips were right by heads that never heard"
    )
    found = list(warnings(result))
    assert found == [f"{words} the clip; record more"] * is_warned
