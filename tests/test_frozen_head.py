from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import head_layers
from datasets import ClassLabel, Dataset
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoModelForAudioClassification, pipeline

from speech_intent import audio, data, frozen_head, model, training
from speech_intent.batches import Collator
from speech_intent.head_folds import make_folds
from speech_intent.recipes import Hyperparameters

NUMBERS = Hyperparameters(freeze="encoder")
LABELS = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def tables(recipe):
    return data.load_data(recipe()).tables


def regression(pooled, labels, c: float, **options):
    """Fit what scikit-learn says of the same features."""
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=5000, **options))
    return fitted.fit(pooled, labels)


def clusters(counts, size=6, spread=1.0, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Draw points (n, size) around a centre of each label, with their labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = rng.standard_normal((len(counts), size))
    return centres[labels] + spread * rng.standard_normal((len(labels), size)), labels


def table_of(labels, speakers=None) -> Dataset:
    names = [f"intent {i}" for i in range(max(labels) + 1)]
    speakers = [""] * len(labels) if speakers is None else list(speakers)
    table = Dataset.from_dict({"label": list(labels), "speaker": speakers})
    return table.cast_column("label", ClassLabel(names=names))


def pooled_by(network, extractor, table) -> np.ndarray:
    collator = Collator(extractor, network.config, NUMBERS, training=False)
    return frozen_head.pooled_outputs(network, table, collator)


def logits_of(network, extractor, table) -> np.ndarray:
    collator = Collator(extractor, network.config, NUMBERS, training=False)
    logits = []
    with torch.inference_mode():
        for row in table:
            inputs = collator([row])
            del inputs["labels"]
            logits.append(network(**inputs).logits.numpy())
    return np.concatenate(logits)


def fit(network, extractor, table, numbers=NUMBERS) -> tuple[np.ndarray, frozen_head.Head]:
    """Give a network a head for a table; give the pooled outputs and the head."""
    pooled = pooled_by(network, extractor, table)
    head = frozen_head.fit_head(pooled, table, numbers)
    frozen_head.write_head(network, head)
    return pooled, head


# The folded checkpoint


def test_the_checkpoint_gives_the_logits_of_scikit_learn(encoder, tables, tmp_path):
    classifier = model.build_model(encoder, LABELS)
    pooled, head = fit(classifier.model, classifier.extractor, tables["train"])
    classifier.model.save_pretrained(tmp_path)
    loaded = AutoModelForAudioClassification.from_pretrained(tmp_path).eval()
    width = getattr(classifier.model.config, "classifier_proj_size", None)
    assert width == (32 if hasattr(loaded, "projector") else None)  # as it was
    logits = logits_of(loaded, classifier.extractor, tables["validation"])
    unseen = pooled_by(loaded, classifier.extractor, tables["validation"])
    fitted = regression(pooled, tables["train"]["label"], head.inverse_regularisation)
    np.testing.assert_allclose(logits, fitted.decision_function(unseen), atol=1e-4)
    np.testing.assert_allclose(head.logits(unseen), fitted.decision_function(unseen), atol=1e-5)


def test_what_is_pooled_goes_through_the_old_head_to_the_models_logits(encoder, tables):
    """The mean over time commutes with the projector, in each family's own pooling."""
    classifier = model.build_model(encoder, LABELS)
    network = classifier.model
    pooled = pooled_by(network, classifier.extractor, tables["validation"])
    layers = head_layers(network)
    assert pooled.shape == (8, layers[0].in_features)
    with torch.inference_mode():
        head = torch.nn.Sequential(*layers)(torch.tensor(pooled, dtype=torch.float32))
    logits = logits_of(network, classifier.extractor, tables["validation"])
    np.testing.assert_allclose(head.numpy(), logits, atol=1e-5)


def test_more_labels_than_rows_of_the_projector_widen_it(encoders, tables, tmp_path):
    n_labels = 40  # of 32 rows
    folder = encoders["wav2vec2_layer"]
    classifier = model.build_model(folder, [f"intent {i}" for i in range(n_labels)])
    rng = np.random.default_rng(0)
    head = frozen_head.Head(
        rng.standard_normal((n_labels, 32)), rng.standard_normal(n_labels), 1.0, pd.DataFrame()
    )
    frozen_head.write_head(classifier.model, head)
    classifier.model.save_pretrained(tmp_path)
    loaded, report = AutoModelForAudioClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["mismatched_keys"]
    assert loaded.config.classifier_proj_size == n_labels
    pooled = pooled_by(loaded, classifier.extractor, tables["validation"])
    logits = logits_of(loaded.eval(), classifier.extractor, tables["validation"])
    np.testing.assert_allclose(logits, head.logits(pooled), atol=1e-4)


def test_two_labels_get_a_row_each(encoders, tables):
    two = tables["train"].filter(lambda label: label < 2, input_columns="label")
    classifier = model.build_model(encoders["wav2vec2_layer"], LABELS[:2])
    pooled, head = fit(classifier.model, classifier.extractor, two)
    logits = logits_of(classifier.model, classifier.extractor, two)
    fitted = regression(pooled, two["label"], head.inverse_regularisation)
    difference = logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(difference, fitted.decision_function(pooled), atol=1e-4)
    np.testing.assert_allclose(softmax(logits, axis=1), fitted.predict_proba(pooled), atol=1e-5)


class Pooling(torch.nn.Module):
    """A model without a projector, whose classifier gets mean and deviation over time."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Conv1d(1, 3, 400, 320)
        self.classifier = torch.nn.Linear(6, 4)
        self.config = SimpleNamespace(feat_extract_norm="group")
        self.device = torch.device("cpu")

    def forward(self, input_values: torch.Tensor) -> SimpleNamespace:
        frames = self.encoder(input_values[:, None])
        pooled = torch.cat([frames.mean(dim=2), frames.std(dim=2)], dim=1)
        return SimpleNamespace(logits=self.classifier(pooled))


def test_without_a_projector_the_classifier_is_the_head(encoders, tables):
    torch.manual_seed(0)
    network = Pooling()
    extractor = model.build_model(encoders["wav2vec2_group"], LABELS).extractor
    pooled, head = fit(network, extractor, tables["train"])
    assert pooled.shape == (16, 6)
    fitted = regression(pooled, tables["train"]["label"], head.inverse_regularisation)
    logits = logits_of(network, extractor, tables["train"])
    np.testing.assert_allclose(logits, fitted.decision_function(pooled), atol=1e-4)


def test_the_pipeline_of_transformers_gives_the_same_scores(encoders, recipe, tables, tmp_path):
    training.fine_tune(recipe(freeze="encoder"), tables, tmp_path)
    folder = tmp_path / "model"
    new = model.build_model(encoders["wav2vec2_layer"], LABELS)
    train = pooled_by(new.model, new.extractor, tables["train"])
    pooled = pooled_by(new.model, new.extractor, tables["validation"])
    head = frozen_head.fit_head(train, tables["train"], NUMBERS)
    classify = pipeline("audio-classification", model=str(folder))
    temperature = classify.model.config.calibration_temperature
    names = tables["train"].features["label"].names
    for row, expected in zip(tables["validation"], head.logits(pooled), strict=True):
        raw = {"raw": audio.load(row["audio"], 16_000), "sampling_rate": 16_000}
        scores = {each["label"]: each["score"] for each in classify(raw, top_k=None)}
        wanted = softmax(expected / temperature)
        assert [scores[name] for name in names] == pytest.approx(wanted.tolist(), abs=1e-4)


def test_validation_clips_choose_nothing(encoders, tables):
    weights = []
    for validation in (tables["validation"], tables["validation"].select([0, 7])):
        classifier = model.build_model(encoders["wav2vec2_layer"], LABELS)
        given = type(tables)(train=tables["train"], validation=validation)
        trained = frozen_head.train(classifier, given, NUMBERS)
        assert trained.logits.shape == (len(validation), 4)
        weights.append(classifier.model.projector.weight)
    pooled = pooled_by(classifier.model, classifier.extractor, tables["train"])
    head = frozen_head.fit_head(pooled, tables["train"], NUMBERS)
    for weight in weights:
        np.testing.assert_allclose(weight[:4].detach(), head.weight, rtol=1e-6)


# The regularisation


def test_the_smallest_log_loss_in_cross_validation_within_train_chooses():
    pooled, labels = clusters([40, 30, 20], spread=2.0)
    head = frozen_head.fit_head(pooled, table_of(labels), NUMBERS)
    folds = make_folds(labels, [""] * len(labels), NUMBERS.seed)
    expected = []
    for c in head.log["inverse_regularisation"]:
        scores = [
            log_loss(labels[scored], regression(pooled[kept], labels[kept], c).predict_proba(part))
            for kept, scored in folds
            for part in [pooled[scored]]
        ]
        expected.append(np.mean(scores))
    np.testing.assert_allclose(head.log["log_loss"], expected, rtol=1e-3)
    assert list(head.log["inverse_regularisation"].iloc[[0, -1]]) == pytest.approx([1e-4, 1e2])
    best = head.log["inverse_regularisation"][int(np.argmin(expected))]
    assert head.inverse_regularisation == best
    assert 1e-4 < best < 1e2
    refitted = regression(pooled, labels, best)
    np.testing.assert_allclose(head.logits(pooled), refitted.decision_function(pooled), atol=1e-3)


@pytest.mark.parametrize(("spread", "low", "high"), [(0.05, 10, 100), (20.0, 1e-4, 1e-1)])
def test_noise_asks_for_more_regularisation(spread, low, high):
    pooled, labels = clusters([20, 20, 20], spread=spread)
    chosen = frozen_head.fit_head(pooled, table_of(labels), NUMBERS).inverse_regularisation
    assert low <= chosen <= high


def test_an_intent_with_a_single_clip_leaves_nothing_to_choose_by():
    pooled, labels = clusters([5, 5, 1])
    head = frozen_head.fit_head(pooled, table_of(labels), NUMBERS)
    assert head.inverse_regularisation == 1.0
    assert head.log["inverse_regularisation"].tolist() == [1.0]
    assert head.log["log_loss"].isna().all()
    fitted = regression(pooled, labels, 1.0)
    np.testing.assert_allclose(head.logits(pooled), fitted.decision_function(pooled), atol=1e-6)


def test_class_weights_are_scikit_learns_balanced():
    pooled, labels = clusters([60, 6, 6], spread=3.0)
    weighted = Hyperparameters(freeze="encoder", class_weights=True)
    head = frozen_head.fit_head(pooled, table_of(labels), weighted)
    fitted = regression(pooled, labels, head.inverse_regularisation, class_weight="balanced")
    np.testing.assert_allclose(head.logits(pooled), fitted.decision_function(pooled), atol=1e-6)
    plain = regression(pooled, labels, head.inverse_regularisation)
    assert np.abs(head.logits(pooled) - plain.decision_function(pooled)).max() > 0.1


# The folds


def test_speakers_reach_the_folds():
    """Points tell the speaker, not the intent: only folds by speaker see that."""
    rng = np.random.default_rng(0)
    speakers = np.repeat(np.arange(10), 6)
    labels = np.tile(np.repeat([0, 1], 3), 10)
    centres = rng.standard_normal((10, 2, 40))
    pooled = centres[speakers, labels] + 0.01 * rng.standard_normal((60, 40))
    known = frozen_head.fit_head(pooled, table_of(labels, map(str, speakers)), NUMBERS)
    unknown = frozen_head.fit_head(pooled, table_of(labels), NUMBERS)
    assert unknown.log["log_loss"].min() < 0.2
    assert known.log["log_loss"].min() > 0.5


# Corrected clips


def test_corrected_clips_are_fitted_and_choose_nothing():
    """A new intent has no others."""
    pooled, labels = clusters([20, 20, 20, 8], spread=2.0)
    is_corrected = (np.arange(len(labels)) % 5 == 0) | (labels == 3)
    marks = np.where(is_corrected, "yes", "").tolist()
    speakers = ["" if mark else f"speaker {i % 7}" for i, mark in enumerate(marks)]
    table = table_of(labels, speakers).add_column("corrected", marks)
    head = frozen_head.fit_head(pooled, table, NUMBERS)
    assert head.log["log_loss"].notna().all()
    refitted = regression(pooled, labels, head.inverse_regularisation)
    np.testing.assert_allclose(head.logits(pooled), refitted.decision_function(pooled), atol=1e-3)


def test_nothing_but_corrected_clips_to_train_on_leaves_nothing_to_choose_by():
    pooled, labels = clusters([5, 5])
    table = table_of(labels).add_column("corrected", ["yes"] * 10)
    assert frozen_head.fit_head(pooled, table, NUMBERS).inverse_regularisation == 1.0
