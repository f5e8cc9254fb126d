import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from speech_intent import metrics

LABELS = ["battery", "book_now", "greeting", "speed", "unheard"]
AVERAGES = ("micro", "macro", "weighted")

answers = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, len(LABELS) - 1), min_size=n, max_size=n)] * 2)
)


@given(answers)
@settings(max_examples=40, deadline=None)
def test_figures_equal_scikit_learns_with_absent_labels_too(pair):
    truth, predicted = pair
    result = metrics.classification_metrics(truth, predicted, LABELS)
    assert result["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert (result["n"], result["correct"]) == (len(truth), int(np.sum(np.equal(truth, predicted))))
    for average in AVERAGES:
        *scores, _ = precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
        assert [result[f"{name}_{average}"] for name in ("precision", "recall", "f1")] == pytest.approx(scores)
    assert result["confusion"] == confusion_matrix(truth, predicted, labels=range(5)).tolist()


@given(answers)
@settings(max_examples=20, deadline=None)
def test_every_wilson_interval_holds_its_figure_and_every_interval_is_within_0_and_1(pair):
    result = metrics.classification_metrics(*pair, LABELS)
    for name in ("accuracy", "precision_micro", "recall_micro", "f1_micro", "recall_weighted"):
        low, high = result[f"{name}_interval"]
        assert 0 <= low <= result[name] <= high <= 1
    for name in ("precision_macro", "recall_macro", "f1_macro", "precision_weighted", "f1_weighted"):
        low, high = result[f"{name}_interval"]
        assert 0 <= low <= high <= 1


@given(answers)
@settings(max_examples=20, deadline=None)
def test_figures_of_each_label_equal_scikit_learns_and_lie_in_their_intervals(pair):
    per_class = metrics.classification_metrics(*pair, LABELS)["per_class"]
    expected = precision_recall_fscore_support(*pair, labels=range(5), zero_division=0)
    for i, scores in enumerate(per_class.values()):
        assert [scores[name] for name in ("precision", "recall", "f1", "support")] == pytest.approx(
            [column[i] for column in expected]
        )
        for name in ("precision", "recall"):
            low, high = scores[f"{name}_interval"]
            assert 0 <= low <= scores[name] <= high <= 1
        assert 0 <= scores["f1_interval"][0] <= scores["f1_interval"][1] <= 1
    text = metrics.class_table(per_class).to_string()
    assert all(label in text for label in LABELS)


def test_a_label_that_is_neither_spoken_nor_answered_has_an_interval_that_says_nothing():
    unheard = metrics.classification_metrics([0, 1], [0, 1], LABELS)["per_class"]["unheard"]
    assert (unheard["f1"], unheard["support"]) == (0, 0)
    assert [unheard[f"{name}_interval"] for name in ("precision", "recall", "f1")] == [[0, 1]] * 3


def test_bootstrap_intervals_hold_their_figures_and_repeat_by_seed():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 200)
    predicted = np.where(rng.random(200) < 0.8, truth, rng.integers(0, 4, 200))
    first, again = (metrics.classification_metrics(truth, predicted, LABELS, seed=3) for _ in range(2))
    assert first == again
    for name in ("precision_macro", "recall_macro", "f1_macro", "precision_weighted", "f1_weighted"):
        low, high = first[f"{name}_interval"]
        assert low < first[name] < high
        assert high - low < 0.15  # about 2 × 1.96 × √(0.8 × 0.2 / 200) = 0.11


def test_a_case_worked_by_hand():
    # spoken    battery battery battery book_now book_now greeting
    # answered  battery battery book_now book_now greeting greeting
    result = metrics.classification_metrics([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2], LABELS[:3])
    assert (result["n"], result["correct"], result["accuracy"]) == (6, 4, pytest.approx(4 / 6))
    names = ("precision", "recall", "f1", "correct", "support")
    by_label = {label: [scores[name] for name in names] for label, scores in result["per_class"].items()}
    assert by_label["battery"] == pytest.approx([1, 2 / 3, 0.8, 2, 3])
    assert by_label["book_now"] == pytest.approx([1 / 2, 1 / 2, 1 / 2, 1, 2])
    assert by_label["greeting"] == pytest.approx([1 / 2, 1, 2 / 3, 1, 1])
    assert result["per_class"]["battery"]["recall_interval"] == metrics.wilson_interval(2, 3)
    assert result["per_class"]["greeting"]["precision_interval"] == metrics.wilson_interval(1, 2)
    assert result["precision_macro"] == pytest.approx(2 / 3)
    assert result["recall_macro"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert result["f1_macro"] == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert result["f1_weighted"] == pytest.approx((3 * 0.8 + 2 * 0.5 + 2 / 3) / 6)
    assert result["precision_weighted"] == pytest.approx((3 + 2 / 2 + 1 / 2) / 6)
    assert result["confusion"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


@given(answers)
@settings(max_examples=20, deadline=None)
def test_micro_figures_are_the_accuracy(pair):
    result = metrics.classification_metrics(*pair, LABELS)
    for name in ("precision", "recall", "f1"):
        assert result[f"{name}_micro"] == pytest.approx(result["accuracy"])
        assert result[f"{name}_micro_interval"] == result["accuracy_interval"]


@given(st.lists(answers, min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_averages_of_many_matrices_equal_scikit_learns_one_by_one(pairs):
    matrices = np.stack([confusion_matrix(*pair, labels=range(len(LABELS))) for pair in pairs])
    result = metrics.averages(matrices)
    for average in ("macro", "weighted"):
        for i, name in enumerate(("precision", "recall", "f1")):
            expected = [precision_recall_fscore_support(*pair, average=average, zero_division=0)[i] for pair in pairs]
            np.testing.assert_allclose(result[f"{name}_{average}"], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("correct", "n", "interval"),
    [  # the score interval of Newcombe 1998 (Stat. Med. 17), table I, and seed system 000's 44 of 48
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (29, 29, (0.8830, 1.0)),
        (44, 48, (0.8045, 0.9671)),
    ],
)
def test_wilson_intervals_equal_published_ones(correct, n, interval):
    assert metrics.wilson_interval(correct, n) == pytest.approx(interval, abs=1e-4)


def test_accuracy_is_counted_by_group():
    answers = {"intent": list("aabb"), "predicted": list("abbb"), "engine": ["x", "x", "y", "y"]}
    table = metrics.accuracy_by(pd.DataFrame(answers), ["engine"])
    assert list(table.index) == ["x", "y"]
    assert table[["correct", "n", "accuracy"]].to_numpy().tolist() == [[1, 2, 0.5], [2, 2, 1.0]]
    assert table.loc["x", ["low", "high"]].tolist() == metrics.wilson_interval(1, 2)


@pytest.mark.parametrize("seconds", [[1.0] * 8, [1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 1, 1, 1, 1, 2, 3], [0.04] * 7 + [2]])
def test_every_clip_falls_into_one_group_of_length(seconds):
    table = metrics.accuracy_by_length(pd.DataFrame({"intent": "a", "predicted": "a", "seconds": seconds}))
    assert table["n"].sum() == 8 and 1 <= len(table) <= 4 and table["n"].min() > 0
    assert table.index[0].startswith("0.0 to ") and all(" to " in name for name in table.index)


def test_a_model_that_knows_nothing_scores_0():
    result = metrics.classification_metrics([0, 1], [1, 0], LABELS[:2])
    assert (result["accuracy"], result["f1_macro"], result["precision_weighted"]) == (0, 0, 0)


def test_the_evaluate_metric_works_offline_and_agrees():
    truth, predicted = [0, 1, 2, 2, 1, 0], [0, 1, 2, 1, 1, 2]
    scores = metrics.intent_metric().compute(predictions=predicted, references=truth)
    expected = metrics.classification_metrics(truth, predicted, LABELS[:3])
    assert scores == pytest.approx({name: expected[name] for name in scores})
    assert set(scores) == {"accuracy", "f1_micro", "f1_macro", "f1_weighted"}


def test_the_bootstrap_over_speakers_is_wider_where_speakers_differ():
    truth = [0, 1] * 100
    guesses = [0, 1] * 50 + [1, 0] * 50  # the second half of the speakers is never understood
    speakers = [f"speaker {i // 10}" for i in range(200)]
    alone = metrics.classification_metrics(truth, guesses, LABELS)
    grouped = metrics.classification_metrics(truth, guesses, LABELS, speakers)
    assert alone["bootstrap"] == "over clips" and grouped["bootstrap"] == "over 20 speakers"
    width = {name: np.ptp(result["f1_macro_interval"]) for name, result in {"a": alone, "g": grouped}.items()}
    assert width["g"] > 2.5 * width["a"]


def test_few_speakers_make_an_unreliable_interval_and_unknown_ones_none():
    few = metrics.classification_metrics([0, 1, 0, 1], [0, 1, 1, 1], LABELS, ["a", "a", "b", "b"])
    assert few["bootstrap"] == "over 2 speakers, too few for a reliable interval"
    assert metrics.classification_metrics([0, 1], [0, 1], LABELS, ["a", ""])["bootstrap"] == "over clips"


def test_mcnemar_by_hand():
    first = [1] * 8 + [0] * 2 + [1] * 5
    second = [0] * 8 + [1] * 2 + [1] * 5
    found = metrics.mcnemar(first, second)
    assert (found["only_first"], found["only_second"]) == (8, 2)
    assert found["p"] == pytest.approx(2 * (1 + 10 + 45) / 2**10)
    assert metrics.mcnemar(first, first)["p"] == 1.0


@pytest.mark.parametrize("n", [200, 400, 1_000])
@pytest.mark.parametrize("accuracy", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
def test_wilson_intervals_hold_the_truth_in_95_of_100_tests(n, accuracy):
    counts = np.arange(n + 1)  # every outcome by its probability: no simulation needed
    low, high = np.transpose([metrics.wilson_interval(int(k), n) for k in counts])
    held = binom.pmf(counts, n, accuracy)[(low <= accuracy) & (accuracy <= high)].sum()
    assert 0.93 <= held <= 0.97


def test_bootstrap_intervals_hold_the_truth_in_95_of_100_tests():
    rng, held, draws, accuracy = np.random.default_rng(0), 0, 200, 0.8
    for seed in range(draws):  # three intents, wrong answers even: the expected macro F1 is the accuracy
        truth = np.arange(300) % 3
        predicted = np.where(rng.random(300) < accuracy, truth, (truth + rng.integers(1, 3, 300)) % 3)
        low, high = metrics.classification_metrics(truth, predicted, LABELS[:3], seed=seed)["f1_macro_interval"]
        held += low <= accuracy <= high
    assert 0.92 <= held / draws <= 0.98  # a standard error of 200 draws is 0.015; benchmarks/ has many more
