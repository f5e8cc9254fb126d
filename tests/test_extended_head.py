"""Heads that learn more, seen from the clips that tell what they forgot."""

import numpy as np
import pytest

from speech_intent.added_rows import Rows
from speech_intent.extended_head import Given, Known, learn

SIZE = 8
OLD = ["bring", "stop"]
CENTRES = dict(zip(["bring", "stop", "ask", "turn", "zoom"], 5 * np.eye(5, SIZE), strict=True))


def clips(intents, seed=0, speakers=None) -> Given:
    rng = np.random.default_rng(seed)
    outputs = np.array([CENTRES[intent] for intent in intents]).reshape(-1, SIZE)
    outputs = outputs + rng.standard_normal(outputs.shape)
    return Given(outputs, list(intents), speakers or [""] * len(intents))


def known(labels=OLD, n_validation=10) -> Known:
    train = clips(labels * 30, 1)
    validation = clips(labels * n_validation, 2)
    ids = [np.array([labels.index(i) for i in given.intents]) for given in (train, validation)]
    weight = np.array([CENTRES[label] for label in labels])
    rows = Rows(weight, np.full(len(labels), -12.5))
    return Known(labels, rows, (train.outputs, ids[0]), (validation.outputs, ids[1]))


def answers(learned, given: Given) -> list[str]:
    return [learned.labels[i] for i in learned.rows.logits(given.outputs).argmax(axis=1)]


def right(learned, given: Given) -> float:
    found = answers(learned, given)
    return np.mean([a == b for a, b in zip(found, given.intents, strict=True)])


def test_several_intents_are_added_in_sorted_order():
    learned = learn(known(), clips(["zoom", "ask"] * 5), clips([]))
    assert learned.labels == ["ask", "bring", "stop", "zoom"]
    assert right(learned, clips(["ask", "bring", "stop", "zoom"] * 25, 9)) > 0.9
    assert learned.truth.tolist() == [1, 2] * 10
    assert (learned.before == learned.truth).mean() > 0.9
    assert set(learned.left_out) == {"ask", "zoom"}
    assert all(len(ids) == 5 for ids in learned.left_out.values())
    assert (learned.left_out["zoom"] == 3).mean() > 0.5


def test_the_old_answers_are_those_of_the_head_that_was_there():
    given = known()
    old = given.rows.logits(given.validation[0]).argmax(axis=1)
    learned = learn(given, clips(["ask"] * 5), clips([]))
    assert (learned.before - 1).tolist() == old.tolist()


def test_an_answer_is_lost_to_a_new_intent_only():
    given = known()
    learned = learn(given, clips(["ask"] * 5), clips([]))
    moved = learned.before != learned.after
    assert (learned.after[moved] == learned.labels.index("ask")).all()
    kept = learned.rows.weight[1:] * learned.temperature
    np.testing.assert_allclose(kept, given.rows.weight)


def test_a_further_intent_is_told_from_one_that_was_added_before():
    """The earlier one has training clips, and none to validate by."""
    first = learn(known(), clips(["ask"] * 5), clips([]))
    ids = {label: i for i, label in enumerate(first.labels)}
    before = known()
    train_ids = np.array([ids[before.labels[i]] for i in before.train[1]])
    validation_ids = np.array([ids[before.labels[i]] for i in before.validation[1]])
    added = clips(["ask"] * 5)
    again = Known(
        first.labels,
        first.rows,
        (np.concatenate([before.train[0], added.outputs]), np.r_[train_ids, [ids["ask"]] * 5]),
        (before.validation[0], validation_ids),
    )
    near = clips(["ask"] * 5, 7)  # what is added sounds much like the earlier one
    near.outputs[:] += 1.5 * np.eye(SIZE)[6]
    second = learn(again, Given(near.outputs, ["turn"] * 5, [""] * 5), clips([]))
    assert second.labels == ["ask", "bring", "stop", "turn"]
    assert right(second, clips(["ask"] * 100, 9)) > 0.5


def test_validation_clips_that_come_along_are_held_out_and_not_counted_as_old():
    new = clips(["ask"] * 5)
    validated = learn(known(), new, clips(["ask"] * 6, 3))
    assert len(validated.truth) == 20
    assert len(validated.logits) == 20 + 6 + 5
    assert np.bincount(validated.logit_labels).tolist() == [11, 10, 10]
    alone = learn(known(), new, clips([]))
    assert not np.allclose(validated.rows.bias, alone.rows.bias)


def test_more_clips_of_an_old_intent_keep_the_labels():
    learned = learn(known(), clips(["stop"] * 4), clips([]))
    assert learned.labels == OLD
    assert list(learned.left_out) == ["stop"]
    assert right(learned, clips(OLD * 50, 9)) > 0.9


def test_scores_are_probabilities_of_held_out_clips():
    learned = learn(known(), clips(["ask"] * 8), clips([]))
    scores = np.exp(learned.logits - np.logaddexp.reduce(learned.logits, axis=1, keepdims=True))
    of_truth = scores[np.arange(len(scores)), learned.logit_labels]
    assert -np.log(of_truth).mean() < 0.5
    rows = learned.rows
    held_out = learned.logits[: len(learned.truth)]
    np.testing.assert_allclose(rows.logits(known().validation[0]), held_out)


@pytest.mark.parametrize("speakers", [["ann"] * 3 + ["ben"] * 3, [""] * 6])
def test_speakers_are_left_out_whole_where_they_are_known(speakers):
    given = clips(["ask"] * 6, 4, speakers)
    given.outputs[3:] = clips(["turn"] * 3, 5).outputs  # the second half says something else
    left_out = learn(known(), given, clips([])).left_out["ask"]
    by_speaker = (left_out == 0).sum()
    assert (by_speaker <= 2) if speakers[0] else (by_speaker >= 4)
