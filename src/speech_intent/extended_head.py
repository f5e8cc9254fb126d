"""What a classifier learns from clips of one more intent, or of an old one, and what it forgets.

Everything here is about standardised pooled outputs: no audio, no encoder.
"""

from dataclasses import dataclass

import numpy as np

from . import calibration
from .added_rows import (
    Addition,
    HeldOut,
    Rows,
    fit_row,
    left_out_logits,
    precision_within,
)


@dataclass(frozen=True)
class Known:
    """A trained head and what it was made of."""

    labels: list[str]  # in the order of their ids
    rows: Rows
    train: tuple[np.ndarray, np.ndarray]  # outputs (n, size) and label ids (n,)
    validation: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Given:
    """New clips of one split."""

    outputs: np.ndarray  # (n, size)
    intents: list[str]
    speakers: list[str]  # "" where not known


@dataclass(frozen=True)
class Learned:
    """A head that knows more, and what it answers to clips that it was not made of."""

    labels: list[str]  # sorted
    rows: Rows  # their scores are probabilities
    temperature: float  # by which logits were divided to that end
    truth: np.ndarray  # label ids of the validation clips that the model had, (n,)
    before: np.ndarray  # what the old head answers to them, (n,)
    after: np.ndarray
    left_out: dict[str, np.ndarray]  # by intent, label ids that its clips get when left out
    logits: np.ndarray  # of all clips that were held out, (n_held_out, n_labels)
    logit_labels: np.ndarray  # of the same, (n_held_out,)


def learn(known: Known, train: Given, validation: Given) -> Learned:
    """Add rows for the intents of new training clips; validation clips may come with them.

    The rows of all other intents stay. An intent that is known keeps its row, and what is added to
    it makes up for what its new clips say.
    """
    labels = sorted({*known.labels, *train.intents})
    known = _renumbered(known, labels)
    additions = _additions(labels, train)
    held_out = _validation(known, validation, labels)
    precision = precision_within(*known.train)
    start = rows = known.rows
    for addition in additions:
        others = _held_out(held_out, known, additions, addition)
        rows = fit_row(rows, addition, precision, others)
    answers = []
    for addition in additions:
        others = _held_out(held_out, known, additions, addition)
        label = addition.label
        without = rows.replaced(label, start.weight[label], start.bias[label])
        answers.append(left_out_logits(without, addition, precision, others))
    logits = np.concatenate([rows.logits(held_out.outputs), *answers])
    of_left_out = [np.full(len(each.outputs), each.label) for each in additions]
    logit_labels = np.concatenate([held_out.labels, *of_left_out])
    temperature = calibration.fit_temperature(logits, logit_labels)
    outputs, truth = known.validation
    return Learned(
        labels=labels,
        rows=Rows(rows.weight / temperature, rows.bias / temperature),
        temperature=temperature,
        truth=truth,
        before=start.logits(outputs).argmax(axis=1),
        after=rows.logits(outputs).argmax(axis=1),
        left_out={
            labels[addition.label]: each.argmax(axis=1)
            for addition, each in zip(additions, answers, strict=True)
        },
        logits=logits / temperature,
        logit_labels=logit_labels,
    )


def _renumbered(known: Known, labels: list[str]) -> Known:
    """Give the same with the ids of more labels; of the new ones nothing is known."""
    ids = np.array([labels.index(label) for label in known.labels])
    weight = np.zeros((len(labels), known.rows.weight.shape[1]))
    bias = np.full(len(labels), -np.inf)
    weight[ids], bias[ids] = known.rows.weight, known.rows.bias
    train = (known.train[0], ids[known.train[1]])
    validation = (known.validation[0], ids[known.validation[1]])
    return Known(labels, Rows(weight, bias), train, validation)


def _additions(labels: list[str], train: Given) -> list[Addition]:
    of_clips = np.array([labels.index(intent) for intent in train.intents])
    additions = []
    for label in np.unique(of_clips):
        rows = np.flatnonzero(of_clips == label)
        speakers = [train.speakers[row] for row in rows]
        additions.append(Addition(int(label), train.outputs[rows], speakers))
    return additions


def _validation(known: Known, new: Given, labels: list[str]) -> HeldOut:
    """Put the validation clips of the model and those that came with the new ones together."""
    outputs, ids = known.validation
    new_ids = [labels.index(intent) for intent in new.intents]
    together = np.concatenate([ids, np.array(new_ids, dtype=int)])
    share = len(together) / len(np.unique(together))
    outputs = np.concatenate([outputs, new.outputs])
    return HeldOut(outputs, together, np.ones(len(together)), share)


def _held_out(
    validation: HeldOut, known: Known, additions: list[Addition], addition: Addition
) -> HeldOut:
    """Give the clips that an addition has to be told from, beside the validation clips.

    Those are the clips of the other additions, and training clips of intents that were added
    earlier, which have no others.
    """
    outputs = [validation.outputs]
    labels = [validation.labels]
    weights = [validation.weights]
    others = [(each.outputs, each.label) for each in additions if each is not addition]
    taken = {*np.unique(validation.labels), *(each.label for each in additions)}
    for label in np.setdiff1d(known.train[1], list(taken)):
        others.append((known.train[0][known.train[1] == label], label))
    for clips, label in others:
        outputs.append(clips)
        labels.append(np.full(len(clips), label))
        weights.append(np.full(len(clips), validation.share / len(clips)))
    return HeldOut(
        outputs=np.concatenate(outputs),
        labels=np.concatenate(labels),
        weights=np.concatenate(weights),
        share=validation.share,
    )
