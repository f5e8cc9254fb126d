import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import set_seed

from speech_intent import data, model, trainer
from speech_intent.batches import Collator
from speech_intent.frames import FrameCollator
from speech_intent.recipes import Hyperparameters

LABELS = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def tables(recipe):
    return data.load_data(recipe()).tables


# Numbers


def test_every_number_reaches_the_trainer(tmp_path):
    """None of these is a default, of ours or of transformers."""
    numbers = Hyperparameters(
        epochs=7.0,
        learning_rate=2e-4,
        batch_size=3,
        gradient_accumulation_steps=5,
        warmup=0.25,
        schedule="cosine",
        weight_decay=0.125,
        max_grad_norm=0.5,
        seed=11,
    )
    arguments = trainer.training_arguments(numbers, tmp_path, "mask")
    assert arguments.num_train_epochs == 7.0
    assert arguments.learning_rate == 2e-4
    assert arguments.per_device_train_batch_size == 3
    assert arguments.per_device_eval_batch_size == 3
    assert arguments.gradient_accumulation_steps == 5
    assert arguments.warmup_steps == 0.25
    assert arguments.lr_scheduler_type == "cosine"
    assert arguments.weight_decay == 0.125
    assert arguments.max_grad_norm == 0.5
    assert arguments.seed == 11
    assert arguments.output_dir == str(tmp_path)


@pytest.mark.parametrize(
    ("rule", "order", "validation_batch"),
    [("equal", "group_by_length", 1), ("mask", "group_by_length", 8), ("fixed", "random", 8)],
)
def test_clips_of_similar_length_go_together_unless_all_have_one(
    tmp_path, rule, order, validation_batch
):
    """Where the encoder stands no padding, validation clips go alone."""
    numbers = Hyperparameters(epochs=1, learning_rate=1e-3)
    arguments = trainer.training_arguments(numbers, tmp_path, rule)
    assert arguments.train_sampling_strategy == order
    assert arguments.per_device_eval_batch_size == validation_batch
    assert arguments.length_column_name == "seconds"


@pytest.mark.parametrize("can", [True, False])
def test_every_encoder_multiplies_in_bfloat16_where_the_processor_can(
    tmp_path, tables, encoders, numbers, monkeypatch, can
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": can})
    for family in ("moonshine", "wav2vec2_layer", "whisper"):
        classifier = model.build_model(encoders[family], LABELS)
        made = trainer.build_trainer(classifier, tables, numbers(freeze="features"), tmp_path)
        assert made.args.bf16 is can
        assert getattr(made.data_collator, "bfloat16", can) is can


@pytest.mark.parametrize(
    ("dropout", "can", "wanted"),
    [(0.1, True, "eager"), (0.0, True, "sdpa"), (0.1, False, "sdpa")],
)
def test_attention_that_drops_out_is_the_plain_one_in_bfloat16(
    tmp_path, tables, encoders, numbers, monkeypatch, dropout, can, wanted
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": can})
    classifier = model.build_model(encoders["wav2vec2_layer"], LABELS)
    classifier.model.config.attention_dropout = dropout
    trainer.build_trainer(classifier, tables, numbers(), tmp_path)
    assert classifier.model.config._attn_implementation == wanted


@pytest.mark.parametrize("can", [True, False])
def test_what_bfloat16_gets_wrong_is_kept_out_of_it(
    tmp_path, tables, encoders, numbers, monkeypatch, can
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": can})
    classifier = model.build_model(encoders["wav2vec2_layer"], LABELS)
    trainer.build_trainer(classifier, tables, numbers(), tmp_path)
    grouped = classifier.encoder.encoder.pos_conv_embed.conv
    assert ("forward" in vars(grouped)) is can


def test_a_graphics_processor_has_its_own_precision(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert trainer.multiplies_in_bfloat16()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert not trainer.multiplies_in_bfloat16()


def test_metric_and_patience_reach_the_trainer(tmp_path, tables, encoders, numbers):
    classifier = model.build_model(encoders["wav2vec2_layer"], LABELS)
    numbers = numbers(metric="f1_weighted", patience=5)
    made = trainer.build_trainer(classifier, tables, numbers, tmp_path)
    callbacks = {type(callback).__name__: callback for callback in made.callback_handler.callbacks}
    assert callbacks["EarlyStoppingCallback"].early_stopping_patience == 5
    assert callbacks["Progress"].metric == "f1_weighted"
    assert "PrinterCallback" not in callbacks


def test_accumulated_batches_give_the_loss_and_the_gradient_of_one_big_batch(
    tmp_path, tables, encoders, numbers
):
    logs = []
    for batch, accumulated in ((16, 1), (4, 4)):
        given = numbers(epochs=1, batch_size=batch, gradient_accumulation_steps=accumulated)
        encoder = encoders["wav2vec2_layer"]
        classifier = model.build_model(encoder, LABELS, spec_augment=False)
        set_seed(0)
        made = trainer.build_trainer(classifier, tables, given, tmp_path / str(batch))
        made.train()
        assert made.state.global_step == 1
        logs.append(next(entry for entry in made.state.log_history if "loss" in entry))
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-4)
    assert logs[0]["grad_norm"] == pytest.approx(logs[1]["grad_norm"], rel=1e-3)


def test_validation_clips_are_neither_cropped_at_random_nor_augmented_nor_padded(
    tmp_path, tables, encoders, numbers
):
    classifier = model.build_model(encoders["wav2vec2_group"], LABELS)
    made = trainer.build_trainer(classifier, tables, numbers(augment=True), tmp_path)
    assert made.data_collator.training
    assert made.data_collator.augment
    batches = made.get_eval_dataloader()
    assert not batches.collate_fn.training
    assert not batches.collate_fn.augment
    assert len(batches) == len(tables["validation"])  # one clip a batch
    assert made.data_collator.training


def test_the_best_weights_come_back_although_later_ones_are_worse(
    tmp_path, tables, encoders, numbers
):
    classifier = model.build_model(encoders["wav2vec2_layer"], LABELS)
    made = trainer.build_trainer(classifier, tables, numbers(epochs=4), tmp_path)
    head = classifier.model.classifier
    scores = iter([0.1, 0.9, 0.3, 0.2])
    weights = []

    def score(predictions) -> dict:
        weights.append(head.weight.detach().clone())
        value = next(scores)
        return {"f1_macro": value, "choice": value}

    made.compute_metrics = score
    made.train()
    assert not torch.equal(weights[1], weights[3])
    assert torch.equal(head.weight, weights[1])


@pytest.mark.parametrize("family", ["moonshine", "wav2vec2_group"])
def test_a_resumed_training_goes_on_as_if_nothing_had_happened(
    tmp_path, tables, encoders, numbers, family
):
    """Although the first remembers frames that the second has to compute."""
    weights = []
    for checkpoint in (None, str(tmp_path / "checkpoint-4")):
        classifier = model.build_model(encoders[family], LABELS)
        model.freeze(classifier, "features")
        given = numbers(epochs=2, freeze="features")
        made = trainer.build_trainer(classifier, tables, given, tmp_path)
        assert made.data_collator.augment is False
        made.train(resume_from_checkpoint=checkpoint)
        weights.append(load_file(tmp_path / "checkpoint-8" / trainer.WEIGHTS))
    for name, expected in weights[0].items():
        assert torch.equal(weights[1][name], expected), name


def test_the_log_joins_what_the_trainer_says_of_a_step():
    history = [
        {"loss": 2.0, "grad_norm": 9.0, "epoch": 1.0, "step": 4},
        {"eval_loss": 1.5, "eval_runtime": 3.0, "eval_f1_macro": 0.5, "epoch": 1.0, "step": 4},
        {"train_runtime": 5.0, "epoch": 1.0, "step": 5},
    ]
    log = trainer.training_log(history)
    expected = {"loss": 2.0, "epoch": 1.0, "step": 4, "eval_loss": 1.5, "eval_f1_macro": 0.5}
    assert log.to_dict("records") == [expected]


# Batches


def test_answers_come_in_the_order_of_their_labels(tmp_path, tables, encoders, numbers):
    """Clips of similar length go together in validation too, so that it is not the table's."""
    classifier = model.build_model(encoders["moonshine"], LABELS)
    collator = Collator(classifier.extractor, classifier.model.config, numbers(), training=False)
    with torch.inference_mode():
        batch = collator(list(tables["validation"]))
        expected = classifier.model.eval()(**batch).logits.numpy()
    made = trainer.build_trainer(classifier, tables, numbers(freeze="features"), tmp_path)
    answers = made.predict(made.eval_dataset)
    assert sorted(answers.label_ids) == sorted(tables["validation"]["label"])
    for logits, label in zip(answers.predictions, answers.label_ids, strict=True):
        same = np.array(tables["validation"]["label"]) == label
        distances = np.abs(expected[same] - logits).max(axis=1)
        assert distances.min() < 5e-3  # it may multiply in bfloat16


@pytest.mark.parametrize(
    ("family", "freeze", "kind"),
    [
        ("moonshine", "features", FrameCollator),
        ("wav2vec2_group", "features", FrameCollator),
        ("whisper", "features", Collator),
        ("moonshine", "none", Collator),
        ("wav2vec2_group", "none", Collator),
    ],
)
def test_batches_are_of_frames_where_convolutions_are_frozen(
    tmp_path, tables, encoders, numbers, family, freeze, kind
):
    classifier = model.build_model(encoders[family], LABELS)
    made = trainer.build_trainer(classifier, tables, numbers(freeze=freeze), tmp_path)
    assert (type(made.data_collator), type(made.eval_collator)) == (kind, kind)


def test_a_graphics_processor_computes_frames_faster_than_it_gets_them(
    tmp_path, tables, encoders, numbers, monkeypatch
):
    monkeypatch.setattr(trainer.torch.accelerator, "is_available", lambda: True)
    classifier = model.build_model(encoders["moonshine"], LABELS)
    collator = trainer._collator(classifier, numbers(freeze="features"), training=True)
    assert type(collator) is Collator
