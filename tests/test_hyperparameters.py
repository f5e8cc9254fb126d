"""Numbers, and those that cannot be."""

import math
from dataclasses import asdict, fields

import numpy as np
import pytest

from speech_intent.errors import UserError
from speech_intent.hyperparameters import Hyperparameters


@pytest.mark.parametrize(
    ("name", "possible", "impossible"),
    [
        ("epochs", [None, 0.5, 3], [0, -1, math.nan, math.inf]),
        ("steps", [1, np.int64(600)], [0, -5, 1.5]),
        ("learning_rate", [None, 1e-5], [0, -1e-3, math.nan]),
        ("batch_size", [1], [0, 2.0]),
        ("gradient_accumulation_steps", [1, 4], [0, 0.5]),
        ("warmup", [0, 0.1, 0.99], [1, 5.0, -0.1, math.nan]),
        ("schedule", ["linear", "cosine"], ["constant", ""]),
        ("weight_decay", [0, 0.01], [-1, math.nan, math.inf]),
        ("max_grad_norm", [0, 1.0], [-1.0, math.nan]),
        ("max_seconds", [0.5, 15], [0, -1, math.nan, math.inf]),
        ("metric", ["f1_macro", "f1_micro", "f1_weighted", "accuracy"], ["loss"]),
        ("patience", [1], [0, 1.5]),
        ("freeze", ["auto", "none", "features", "encoder"], ["banana"]),
        ("accept", [0.5, 0.99], [0, 1, 95, -0.5, math.nan]),
        ("target_precision", [None, 0.9, 0.99], [0, 1, 90, -0.5, math.nan]),
        ("seed", [0, 2**32 - 1], [-1, 2**32, 0.5]),
    ],
)
def test_every_number_is_checked(name, possible, impossible):
    for value in possible:
        assert getattr(Hyperparameters(**{name: value}), name) == value
    for value in impossible:
        with pytest.raises(UserError) as error:
            Hyperparameters(**{name: value})
        assert error.value.name == name
        assert error.value.problem == f"{value!r} cannot be"


def test_a_refusal_says_what_can_be():
    with pytest.raises(UserError) as error:
        Hyperparameters(freeze="banana")
    assert str(error.value) == (
        "freeze: 'banana' cannot be; choose auto, none, features or encoder"
    )
    with pytest.raises(UserError, match=r"above 0, below 1$"):
        Hyperparameters(target_precision=90)


def test_a_record_leaves_out_what_has_no_effect_on_a_frozen_encoder():
    given = {"epochs": 5, "augment": True, "max_seconds": 4.0, "class_weights": True, "seed": 3}
    plain = Hyperparameters(**given, freeze="features")
    assert plain.used() == asdict(plain)
    frozen = Hyperparameters(**given, freeze="encoder").used()
    assert list(frozen) == list(asdict(plain))
    assert {name: value for name, value in frozen.items() if value is not None} == {
        "max_seconds": 4.0,
        "metric": "f1_macro",
        "freeze": "encoder",
        "class_weights": True,
        "accept": 0.95,
        "seed": 3,
    }


def test_every_number_says_what_it_is_for():
    for number in fields(Hyperparameters):
        assert number.metadata["help"]  # `train --help` prints it
