"""The shards of `make_corpus.py` as batches: what is trained on, what is held out, what is joined.

Every random choice comes from the caller's generator, in an order that is frozen: the shipped
encoder was pretrained with it.
"""

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from make_corpus import RATE, excluded_keys, is_left_out, text_key
from sklearn.feature_extraction.text import TfidfVectorizer

from speech_intent import quality

# Padded lengths in seconds: few, because each is compiled, yet dense, because group norm sees the
# padding.
LENGTHS = (1.0, 1.3, 1.6, 2.0, 2.5, 3.0, 3.6, 4.3, 5.2, 6.3)
BATCH_SECONDS = 64
ROUND_ITEMS = 12_000
REAL_SHARE = 0.15  # of the items
SHORT_SECONDS = 1.5  # a synthetic clip up to here may be joined to a real one
NGRAMS = 6000
HELD_OUT_BUCKET = 0  # of 100, by the text: never trained on
MAX_INT16 = 32_768

Item = tuple[int, ...]  # rows of the corpus, to be heard one after the other
Augment = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class BatchPlan:
    """Items that fit into one padded length."""

    seconds: float
    items: list[Item]


@dataclass(frozen=True)
class Batch:
    """What the model is given, and what it should say."""

    waveforms: torch.Tensor  # float32, (clips, samples), each with zero mean and unit variance
    texts: list[str]
    labels: torch.Tensor  # int64, (clips,): intents, -1 where unknown


@dataclass
class Corpus:
    """All clips: their table, their audio and the intent names.

    `table` has the shards' columns and `shard`, a number, and `held_out`, true for rows never
    trained on.
    """

    table: pd.DataFrame
    shards: list[np.ndarray]  # int16, (n_samples,) each
    intents: list[str]

    def __post_init__(self) -> None:
        """Keep the columns that batches read as plain arrays and lists."""
        self.places = self.table[["shard", "start", "length"]].to_numpy()  # pandas is slow by row
        self.texts = self.table["text"].to_list()
        self.labels = self.table["intent"].to_list()

    @classmethod
    def load(cls, folder: Path, phrasings: Path | None) -> "Corpus":
        """Read all complete shards but for texts of the bundled validation and test phrasings."""
        tables = []
        shards = []
        for path in sorted(folder.glob("shard_*.csv")):
            tables.append(pd.read_csv(path, keep_default_na=False).assign(shard=len(shards)))
            shards.append(np.load(path.with_suffix(".npy"), mmap_mode="r"))
        table = pd.concat(tables, ignore_index=True)
        table = table[~table["text"].map(text_key).isin(excluded_keys(phrasings))]
        table = table[table["length"] <= LENGTHS[-1] * RATE].reset_index(drop=True)
        buckets = table["text"].map(lambda text: zlib.crc32(text.encode()) % 100)
        table["held_out"] = (buckets == HELD_OUT_BUCKET) & (table["source"] != "real")
        intents = sorted(set(table["intent"]) - {""})
        return cls(table, shards, intents)

    def fit_ngrams(self) -> TfidfVectorizer:
        """Return a vectoriser that gives the TF-IDF of the texts' commonest letter n-grams.

        2 to 4 letters, within words.
        """
        vectoriser = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 4), max_features=NGRAMS, sublinear_tf=True
        )
        trained_on = self.table["text"][~self.table["held_out"]]
        return vectoriser.fit(sorted(set(trained_on)))

    def clip(self, row: int) -> np.ndarray:
        """Return the samples of a row, int16, (n_samples,)."""
        shard, start, length = self.places[row]
        return self.shards[shard][start : start + length]

    def write_lists(self, folder: Path, commands: Path | None) -> None:
        """Record which voices and texts training uses, and which real commands it does not.

        The commands by their samples.
        """
        used = self.table[~self.table["held_out"]]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "voices.txt").write_text("\n".join(sorted(set(used["voice"]))) + "\n")
        texts = "\n".join(sorted(set(used["text"]))) + "\n"
        (folder / "texts.txt.gz").write_bytes(gzip.compress(texts.encode(), mtime=0))
        left_out = folder / "left_out_commands.csv"
        if commands and not left_out.exists():
            table = pd.read_csv(commands / "metadata.csv")
            table = table[table["file_name"].map(is_left_out)]
            digests = [quality.measure(commands / name).digest for name in table["file_name"]]
            table["sha256"] = [digest[:16] for digest in digests]
            table[["intent", "sha256"]].to_csv(left_out, index=False)


def draw_round(corpus: Corpus, rng: np.random.Generator, longest: float) -> list[BatchPlan]:
    """Draw items in batches of one padded length, up to `longest` seconds; shuffled.

    Real recordings are single words, so half of their items join two or three clips to give them
    context.
    """
    table = corpus.table
    lengths = table["length"].to_numpy() / RATE  # seconds
    is_real = (table["source"] == "real").to_numpy()
    usable = ~table["held_out"].to_numpy() & (lengths < longest)
    real = np.flatnonzero(usable & is_real)
    synthetic = np.flatnonzero(usable & ~is_real)
    short = synthetic[lengths[synthetic] < SHORT_SECONDS]
    groups: dict[float, list[Item]] = {seconds: [] for seconds in LENGTHS}
    for _ in range(ROUND_ITEMS):
        if rng.random() < REAL_SHARE:
            item = draw_real_item(real, short, rng)
        else:
            item = [int(rng.choice(synthetic))]
        room = lengths[item].sum() + rng.uniform(0, 0.4)
        fitting = [seconds for seconds in LENGTHS if room <= seconds <= longest]
        if fitting:
            groups[fitting[0]].append(tuple(rng.permutation(item)))
    plans = []
    for seconds, items in groups.items():
        count = round(BATCH_SECONDS / seconds)
        starts = range(0, len(items) - count + 1, count)
        plans += [BatchPlan(seconds, items[start : start + count]) for start in starts]
    return [plans[i] for i in rng.permutation(len(plans))]


def draw_real_item(real: np.ndarray, short: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Draw a real clip, and half the time one or two more, real or short, to join to it."""
    item = [int(rng.choice(real))]
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 3))):
            others = real if rng.random() < 0.5 else short
            item.append(int(rng.choice(others)))
    return item


def make_batch(
    corpus: Corpus,
    plan: BatchPlan,
    rng: np.random.Generator,
    augment: Augment | None = None,
) -> Batch:
    """Place each item's clips at a random offset, augment and normalise."""
    samples = np.zeros((len(plan.items), round(plan.seconds * RATE)), dtype=np.float32)
    for out, rows in zip(samples, plan.items, strict=True):
        place(out, [corpus.clip(row) for row in rows], rng)
    waveforms = torch.from_numpy(samples)
    if augment:
        waveforms = augment(waveforms)
    names = [corpus.labels[rows[0]] if len(rows) == 1 else "" for rows in plan.items]
    labels = [corpus.intents.index(name) if name else -1 for name in names]
    return Batch(
        waveforms=normalise_waveforms(waveforms),
        texts=[" ".join(corpus.texts[row] for row in rows) for rows in plan.items],
        labels=torch.tensor(labels),
    )


def place(out: np.ndarray, clips: Sequence[np.ndarray], rng: np.random.Generator) -> None:
    """Add int16 clips, one after the other, from a random sample on to `out`, float32."""
    start = int(rng.integers(0, max(1, len(out) - sum(map(len, clips)) + 1)))
    for clip in clips:
        level = np.float32(rng.uniform(0.4, 1.0) / MAX_INT16)
        out[start : start + len(clip)] += clip[: len(out) - start] * level
        start += len(clip)


def normalise_waveforms(batch: torch.Tensor) -> torch.Tensor:
    """Bring each of (clips, samples) to zero mean and unit variance, as the extractor does."""
    variance = batch.var(1, keepdim=True, unbiased=False)
    return (batch - batch.mean(1, keepdim=True)) / (variance + 1e-7).sqrt()
