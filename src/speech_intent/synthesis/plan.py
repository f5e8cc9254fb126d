"""Which voice says which sentence: every clip of a folder, before the first is spoken."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..tables import SPLITS
from .patterns import draw
from .sentences import Sentence
from .voices import ENGINE_SHARES, SPLIT_SHARES, Voice, by_split

USUAL = 200  # clips an intent
FEWEST = 3  # clips an intent: one for each split


@dataclass(frozen=True)
class Clip:
    """One clip that is to be spoken."""

    number: int
    intent: str
    text: str
    line: int  # of the file of sentences
    split: str
    voices: tuple[Voice, ...]  # the second and the others speak where those before them cannot

    @property
    def file_name(self) -> str:
        """Its place in the folder."""
        return f"clips/{self.number:05d}.flac"


def plan(
    sentences: list[Sentence], n_clips: int | None, voices: list[Voice], seed: int
) -> list[Clip]:
    """Share `n_clips` out over the intents, their sentences and voices.

    None are 200 an intent, or as many as there are sentences; what is no request ("unknown") gets
    as many as an intent, by the same voices: a voice must not give it away. Sentences without a
    split are spoken in all of them, by other voices in each; those with one by that split's
    voices. Raises `UserError` for too few clips.
    """
    rng = np.random.default_rng([seed, len(sentences)])
    intents = sorted({sentence.intent for sentence in sentences})
    shared = by_split(voices)
    clips: list[Clip] = []
    for intent, n in zip(intents, _counts(sentences, intents, n_clips), strict=True):
        own = [sentence for sentence in sentences if sentence.intent == intent]
        for sentence, split in _pairs(own, n, rng):
            text = draw(sentence.pattern, rng)
            speakers = tuple(_speakers(shared[split], rng))
            clips.append(Clip(len(clips), intent, text, sentence.line, split, speakers))
    return clips


def _counts(sentences: list[Sentence], intents: list[str], n_clips: int | None) -> list[int]:
    """Say how many clips each intent gets."""
    if n_clips is None:
        own = [sum(sentence.intent == intent for sentence in sentences) for intent in intents]
        return [max(USUAL, n) for n in own]
    if n_clips < FEWEST * len(intents):
        problem = f"{n_clips} cannot be shared by {len(intents)} intents"
        raise UserError("clips", problem, f"give {FEWEST * len(intents)} or more")
    each, more = divmod(n_clips, len(intents))
    return [each + (i < more) for i in range(len(intents))]


def _pairs(own: list[Sentence], n: int, rng: np.random.Generator) -> Iterator[tuple[Sentence, str]]:
    """Pair an intent's sentences with splits, `n` times; each sentence about equally often."""
    given = sorted({sentence.split for sentence in own} - {""}, key=SPLITS.index)
    whole = sum(SPLIT_SHARES[split] for split in given or SPLITS)
    counts = {split: max(1, round(n * SPLIT_SHARES[split] / whole)) for split in given or SPLITS}
    counts["train"] = max(1, n - sum(k for split, k in counts.items() if split != "train"))
    for split, k in counts.items():
        said = [sentence for sentence in own if not given or sentence.split == split]
        order = rng.permutation(len(said))
        for i in range(k):
            yield said[order[i % len(said)]], split


def _speakers(voices: dict[str, list[Voice]], rng: np.random.Generator) -> Iterator[Voice]:
    """Draw a voice of each engine, the first by the engines' shares."""
    names = list(voices)
    shares = np.array([ENGINE_SHARES[name] for name in names])
    for i in rng.choice(len(names), len(names), replace=False, p=shares / shares.sum()):
        own = voices[names[i]]
        yield own[rng.integers(len(own))]
