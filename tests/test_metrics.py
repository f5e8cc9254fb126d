import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support
from transformers import EvalPrediction

from speech_intent import metrics
from speech_intent.intervals import wilson_interval

LABELS = ["battery", "book_now", "greeting", "speed", "unheard"]
SCORES = ("precision", "recall", "f1")
AVERAGES = ("micro", "macro", "weighted")
BOOTSTRAPPED = (
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "precision_weighted",
    "f1_weighted",
)

ids = st.integers(0, len(LABELS) - 1)
answers = st.lists(st.tuples(ids, ids), min_size=1, max_size=60).map(
    lambda pairs: tuple(map(list, zip(*pairs, strict=True)))
)


def scikit_learns(truth, predicted, **options) -> list:
    *scores, _ = precision_recall_fscore_support(truth, predicted, zero_division=0, **options)
    return scores


def test_a_case_worked_by_hand():
    # spoken    battery battery battery book_now book_now greeting
    # answered  battery battery book_now book_now greeting greeting
    result = metrics.classification_metrics([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2], LABELS[:3])
    assert (result["n"], result["correct"]) == (6, 4)
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert result["accuracy_interval"] == wilson_interval(4, 6)
    names = ("precision", "recall", "f1", "correct", "support")
    by_label = {
        label: [scores[name] for name in names] for label, scores in result["per_class"].items()
    }
    assert by_label["battery"] == pytest.approx([1, 2 / 3, 0.8, 2, 3])
    assert by_label["book_now"] == pytest.approx([1 / 2, 1 / 2, 1 / 2, 1, 2])
    assert by_label["greeting"] == pytest.approx([1 / 2, 1, 2 / 3, 1, 1])
    assert result["per_class"]["battery"]["recall_interval"] == wilson_interval(2, 3)
    assert result["per_class"]["battery"]["precision_interval"] == wilson_interval(2, 2)
    assert result["per_class"]["greeting"]["precision_interval"] == wilson_interval(1, 2)
    assert result["precision_macro"] == pytest.approx(2 / 3)
    assert result["recall_macro"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert result["f1_macro"] == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert result["f1_weighted"] == pytest.approx((3 * 0.8 + 2 * 0.5 + 2 / 3) / 6)
    assert result["precision_weighted"] == pytest.approx((3 + 2 / 2 + 1 / 2) / 6)
    assert result["confusion"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


def test_a_model_that_knows_nothing_scores_0():
    result = metrics.classification_metrics([0, 1], [1, 0], LABELS[:2])
    figures = [result[name] for name in ("accuracy", "f1_macro", "precision_weighted")]
    assert figures == [0, 0, 0]


def test_a_label_that_is_neither_spoken_nor_answered_has_an_interval_that_says_nothing():
    result = metrics.classification_metrics([0, 1], [0, 1], LABELS)
    unheard = result["per_class"]["unheard"]
    assert (unheard["f1"], unheard["support"]) == (0, 0)
    assert [unheard[f"{name}_interval"] for name in SCORES] == [[0, 1]] * 3
    assert result["f1_macro"] == 1.0  # it does not count


@given(answers)
@settings(max_examples=30, deadline=None)
def test_figures_equal_scikit_learns_with_absent_labels_too(pair):
    truth, predicted = pair
    result = metrics.classification_metrics(truth, predicted, LABELS)
    assert result["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    for average in AVERAGES:
        figures = [result[f"{name}_{average}"] for name in SCORES]
        assert figures == pytest.approx(scikit_learns(truth, predicted, average=average))
    expected = np.transpose(scikit_learns(truth, predicted, labels=range(5)))
    for scores, row in zip(result["per_class"].values(), expected, strict=True):
        assert [scores[name] for name in SCORES] == pytest.approx(row)


@given(st.lists(answers, min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_averages_of_many_matrices_equal_scikit_learns_one_by_one(pairs):
    matrices = np.stack([confusion_matrix(*pair, labels=range(len(LABELS))) for pair in pairs])
    result = metrics.averages(matrices)
    for average in ("macro", "weighted"):
        expected = [scikit_learns(*pair, average=average) for pair in pairs]
        figures = [result[f"{name}_{average}"] for name in SCORES]
        np.testing.assert_allclose(np.transpose(figures), expected, atol=1e-12)


@given(answers)
@settings(max_examples=15, deadline=None)
def test_every_interval_is_within_0_and_1_and_wilsons_hold_their_figures(pair):
    result = metrics.classification_metrics(*pair, LABELS)
    wilsons = [(result, name) for name in ("accuracy", "recall_weighted")]
    wilsons += [(result, f"{name}_micro") for name in SCORES]
    bootstrapped = [(result, name) for name in BOOTSTRAPPED]
    for scores in result["per_class"].values():
        wilsons += [(scores, "precision"), (scores, "recall")]
        bootstrapped.append((scores, "f1"))
    for scores, name in wilsons:
        low, high = scores[f"{name}_interval"]
        assert 0 <= low <= scores[name] <= high <= 1
    for scores, name in bootstrapped:
        low, high = scores[f"{name}_interval"]
        assert 0 <= low <= high <= 1


def test_micro_figures_are_the_accuracy_under_other_names():
    result = metrics.classification_metrics([0, 0, 1, 1, 2], [0, 1, 1, 2, 2], LABELS)
    for name in ("precision_micro", "recall_micro", "f1_micro", "recall_weighted"):
        assert result[name] == pytest.approx(3 / 5)
        assert result[f"{name}_interval"] == result["accuracy_interval"]


def test_bootstrap_intervals_hold_their_figures_and_repeat_by_seed():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 200)
    predicted = np.where(rng.random(200) < 0.8, truth, rng.integers(0, 4, 200))
    first, again, other = (
        metrics.classification_metrics(truth, predicted, LABELS, seed=seed) for seed in (3, 3, 4)
    )
    assert first == again
    assert first["f1_macro_interval"] != other["f1_macro_interval"]
    for name in BOOTSTRAPPED:
        low, high = first[f"{name}_interval"]
        assert low < first[name] < high
        assert high - low < 0.15  # about 2 × 1.96 × √(0.8 × 0.2 / 200) = 0.11


def test_bootstrap_intervals_hold_the_truth_in_95_of_100_tests():
    rng = np.random.default_rng(0)
    n_tests = 200
    accuracy = 0.8
    held = 0
    for seed in range(n_tests):
        truth = np.arange(300) % 3
        wrong = (truth + rng.integers(1, 3, 300)) % 3  # even: the expected macro F1 is the accuracy
        predicted = np.where(rng.random(300) < accuracy, truth, wrong)
        result = metrics.classification_metrics(truth, predicted, LABELS[:3], seed=seed)
        low, high = result["f1_macro_interval"]
        held += low <= accuracy <= high
    assert 0.92 <= held / n_tests <= 0.98  # a standard error of 0.015; benchmarks/ has many more


def test_the_bootstrap_over_speakers_is_wider_where_speakers_differ():
    truth = [0, 1] * 100
    predicted = [0, 1] * 50 + [1, 0] * 50  # the second half of the speakers is never understood
    speakers = [f"speaker {i // 10}" for i in range(200)]
    by_clip = metrics.classification_metrics(truth, predicted, LABELS)
    by_speaker = metrics.classification_metrics(truth, predicted, LABELS, speakers)
    assert by_clip["bootstrap"] == "over clips"
    assert by_speaker["bootstrap"] == "over 20 speakers"
    width = np.ptp(by_clip["f1_macro_interval"])
    assert np.ptp(by_speaker["f1_macro_interval"]) > 2.5 * width


def test_the_table_of_intents_has_the_weakest_first():
    scores = {
        "correct": 3,
        "support": 4,
        "recall": 0.75,
        "recall_interval": [0.301, 0.954],
        "precision": 1.0,
        "precision_interval": [0.438, 1.0],
        "f1": 6 / 7,
        "f1_interval": [0.4, 1.0],
    }
    weak = {**scores, "f1": 0.5, "correct": 1}
    table = metrics.class_table({"strong": scores, "weak": weak})
    assert list(table.index) == ["weak", "strong"]
    assert table.loc["strong"].to_dict() == {
        "correct": 3,
        "support": 4,
        "recall": "0.750 (0.30 to 0.95)",
        "precision": "1.000 (0.44 to 1.00)",
        "f1": "0.857 (0.40 to 1.00)",
    }


def test_accuracy_is_counted_by_group():
    columns = {"intent": list("aabb"), "predicted": list("abbb"), "engine": list("xxyy")}
    table = metrics.accuracy_by(pd.DataFrame(columns), ["engine"])
    assert list(table.index) == ["x", "y"]
    assert table[["correct", "n", "accuracy"]].to_numpy().tolist() == [[1, 2, 0.5], [2, 2, 1.0]]
    assert table.loc["x", ["low", "high"]].tolist() == wilson_interval(1, 2)


def by_length(seconds, predicted="aaaaaaaa") -> pd.DataFrame:
    columns = {"intent": "a", "predicted": list(predicted), "seconds": seconds}
    return metrics.accuracy_by_length(pd.DataFrame(columns))


def test_lengths_are_cut_at_the_quartiles():
    table = by_length([5, 1, 6, 2, 7, 3, 8, 4], "abaaabaa")  # the shortest, and 3 s, are wrong
    # Quartiles 2.75, 4.5 and 6.25, to a tenth; the last edge lies above the longest clip.
    assert list(table.index) == ["0.0 to 2.8", "2.8 to 4.5", "4.5 to 6.2", "6.2 to 8.1"]
    assert list(table["n"]) == [2, 2, 2, 2]
    assert list(table["correct"]) == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("seconds", "n"),
    [([1.0] * 8, [8]), ([1, 1, 1, 1, 1, 1, 2, 3], [6, 2]), ([0.04] * 7 + [2], [8])],
)
def test_where_lengths_are_alike_groups_are_fewer(seconds, n):
    assert list(by_length(seconds)["n"]) == n


def test_the_evaluate_metric_works_offline_and_agrees():
    truth = [0, 1, 2, 2, 1, 0]
    predicted = [0, 1, 2, 1, 1, 2]
    scores = metrics.intent_metric().compute(predictions=predicted, references=truth)
    expected = metrics.classification_metrics(truth, predicted, LABELS[:3])
    names = {"accuracy", "f1_micro", "f1_macro", "f1_weighted"}
    assert scores == pytest.approx({name: expected[name] for name in names})


def test_among_equal_scores_the_surer_checkpoint_is_chosen():
    score = metrics.validation_scores("accuracy")
    labels = np.array([0, 1])
    faint = score(EvalPrediction(np.eye(2) * 0.1, labels))
    clear = score(EvalPrediction(np.eye(2) * 3, labels))
    wrong = score(EvalPrediction(np.array([[3.0, 0], [3.0, 0]]), labels))
    assert [scores["accuracy"] for scores in (faint, clear, wrong)] == [1, 1, 0.5]
    assert clear["choice"] > faint["choice"] > wrong["choice"]
    assert clear["choice"] == pytest.approx(1 - 1e-4 * np.log(1 + np.exp(-3)))


def test_the_choice_follows_the_score_that_is_wanted():
    labels = np.array([0, 0, 0, 1])
    always_0 = EvalPrediction(np.array([[1.0, 0]] * 4), labels)
    accuracy, f1_macro = (
        metrics.validation_scores(wanted)(always_0)["choice"] for wanted in ("accuracy", "f1_macro")
    )
    assert accuracy == pytest.approx(3 / 4, abs=1e-3)
    assert f1_macro == pytest.approx((6 / 7 + 0) / 2, abs=1e-3)
