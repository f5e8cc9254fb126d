"""Pretrain a small Wav2Vec2 encoder on the corpus of `make_corpus.py`: letters, letter n-grams and request intents.

Run again with the same arguments after an interruption and it goes on from the last checkpoint.
"""

import argparse
import copy
import csv
import gzip
import json
import os
import shutil
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from augment import Augment
from make_corpus import RATE, excluded_keys, is_left_out, read_real, text_key
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torchaudio.functional import edit_distance
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from speech_intent import audio

LETTERS = "_abcdefghijklmnopqrstuvwxyz' "  # the first one is the CTC blank
# Padded lengths in seconds: few, because each is compiled, yet dense, because group norm sees the padding.
LENGTHS = (1.0, 1.3, 1.6, 2.0, 2.5, 3.0, 3.6, 4.3, 5.2, 6.3)
BATCH_SECONDS = 64
PEAK_LR = 1.5e-3
WARM_UP = 300  # steps
CURRICULUM = ((1100, 2.0), (2400, 3.6))  # until this step, only clips up to so many seconds
DECAY = 0.25  # the last part of the steps, in which the learning rate falls to zero
# The intents' gradient is four times as long as CTC's and drowns it, so it counts little until letters are known.
INTENT_WEIGHTS = (0.1, 0.3)  # before and during the decay
NGRAM_WEIGHT = 0.5
NGRAMS = 6000


def encoder_config():
    """Return the configuration of the encoder: narrow convolutions and six pre-norm layers of width 192."""
    return Wav2Vec2Config(
        hidden_size=192, num_hidden_layers=6, num_attention_heads=4, intermediate_size=768,
        conv_dim=(32, 64, 96, 128, 128, 128, 128), conv_bias=False, feat_extract_norm="group",
        do_stable_layer_norm=True, num_conv_pos_embeddings=32, num_conv_pos_embedding_groups=16,
        apply_spec_augment=False, hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
        feat_proj_dropout=0.0, layerdrop=0.0, vocab_size=len(LETTERS), mask_time_prob=0.15, mask_time_min_masks=0,
    )  # fmt: skip


class Pretrainer(nn.Module):
    """A Wav2Vec2 encoder with a letter head on each frame, and an intent and an n-gram head on their mean.

    The n-grams make the mean tell which words were spoken, in whatever order: what a linear classifier of texts reads.

    Parameters
    ----------
    intents : int
        Number of intent classes.
    """

    def __init__(self, intents):
        super().__init__()
        self.encoder = Wav2Vec2Model(encoder_config())
        self.letters = nn.Linear(192, len(LETTERS))
        self.intents = nn.Linear(192, intents)
        self.ngrams = nn.Linear(192, NGRAMS)

    def forward(self, audio):
        """Map audio (clips, samples) to scores of letters (clips, frames, 29), intents (clips, n) and n-grams."""
        hidden = self.encoder(audio).last_hidden_state
        mean = hidden.mean(dim=1)
        return self.letters(hidden), self.intents(mean), self.ngrams(mean)


def normalised(batch):
    """Bring each clip to zero mean and unit variance, as Wav2Vec2FeatureExtractor does."""
    variance = batch.var(1, keepdim=True, unbiased=False)
    return (batch - batch.mean(1, keepdim=True)) / (variance + 1e-7).sqrt()


@dataclass
class Corpus:
    """All clips: their table, their audio and the intent names.

    `table` has the shards' columns and `shard`, a number, and `held_out`, true for rows never trained on.
    """

    table: pd.DataFrame
    shards: list
    intents: list

    def __post_init__(self):
        """Keep the columns that batches read as plain arrays and lists."""
        self.places = self.table[["shard", "start", "length"]].to_numpy()  # pandas is slow row by row
        self.texts, self.labels = self.table["text"].to_list(), self.table["intent"].to_list()

    def fit_ngrams(self):
        """Return a vectoriser that gives the TF-IDF of the texts' commonest letter n-grams (2 to 4, within words)."""
        vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=NGRAMS, sublinear_tf=True)
        return vectoriser.fit(sorted(set(self.table["text"][~self.table["held_out"]])))

    @classmethod
    def load(cls, folder, phrasings):
        """Read all complete shards but for texts of the bundled validation and test phrasings."""
        tables, shards = [], []
        for path in sorted(folder.glob("shard_*.csv")):
            tables.append(pd.read_csv(path, keep_default_na=False).assign(shard=len(shards)))
            shards.append(np.load(path.with_suffix(".npy"), mmap_mode="r"))
        table = pd.concat(tables, ignore_index=True)
        table = table[~table["text"].map(text_key).isin(excluded_keys(phrasings))]
        table = table[table["length"] <= LENGTHS[-1] * RATE].reset_index(drop=True)
        hashes = table["text"].map(lambda text: zlib.crc32(text.encode()) % 100)
        table["held_out"] = (hashes == 0) & (table["source"] != "real")
        intents = sorted(set(table["intent"]) - {""})
        return cls(table, shards, intents)

    def clip(self, row):
        """Return the samples of a row, int16."""
        shard, start, length = self.places[row]
        return self.shards[shard][start : start + length]

    def write_lists(self, folder, commands):
        """Record which voices and texts training uses, and which real commands it does not, by their samples."""
        used = self.table[~self.table["held_out"]]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "voices.txt").write_text("\n".join(sorted(set(used["voice"]))) + "\n")
        texts = "\n".join(sorted(set(used["text"]))) + "\n"
        (folder / "texts.txt.gz").write_bytes(gzip.compress(texts.encode(), mtime=0))
        if commands and not (folder / "left_out_commands.csv").exists():
            table = pd.read_csv(commands / "metadata.csv")
            table = table[table["file_name"].map(is_left_out)]
            table["sha256"] = [audio.measure(commands / name)["digest"][:16] for name in table["file_name"]]
            table[["intent", "sha256"]].to_csv(folder / "left_out_commands.csv", index=False)


def draw_round(corpus, rng, longest, size=12_000, real_share=0.15):
    """Draw items (tuples of rows to be spoken one after the other), in batches of one padded length.

    Real recordings are single words, so half of their items join two or three clips to give them context.

    Returns
    -------
    list of tuple
        `(seconds, items)`, shuffled.
    """
    table = corpus.table
    usable = ~table["held_out"].to_numpy()
    lengths = table["length"].to_numpy() / RATE
    is_real = (table["source"] == "real").to_numpy()
    real = np.flatnonzero(usable & is_real & (lengths < longest))
    synthetic = np.flatnonzero(usable & ~is_real & (lengths < longest))
    short = synthetic[lengths[synthetic] < 1.5]
    groups = {seconds: [] for seconds in LENGTHS}
    for _ in range(size):
        if rng.random() < real_share:
            item = [int(rng.choice(real))]
            if rng.random() < 0.5:
                more = int(rng.integers(1, 3))
                item += [int(rng.choice(real if rng.random() < 0.5 else short)) for _ in range(more)]
        else:
            item = [int(rng.choice(synthetic))]
        room = lengths[item].sum() + rng.uniform(0, 0.4)
        fitting = [seconds for seconds in LENGTHS if room <= seconds <= longest]
        if fitting:
            groups[fitting[0]].append(tuple(rng.permutation(item)))
    batches = []
    for seconds, items in groups.items():
        count = round(BATCH_SECONDS / seconds)
        batches += [(seconds, items[i : i + count]) for i in range(0, len(items) - count + 1, count)]
    return [batches[i] for i in rng.permutation(len(batches))]


def make_batch(corpus, seconds, items, rng, augment=None):
    """Place each item's clips at a random offset, augment and normalise.

    Returns
    -------
    torch.Tensor, list of str, torch.Tensor
        Audio (clips, samples), texts, and intent indices (-1 where unknown).
    """
    batch = np.zeros((len(items), round(seconds * RATE)), dtype=np.float32)
    for out, rows in zip(batch, items, strict=True):
        clips = [corpus.clip(row) for row in rows]
        at = int(rng.integers(0, max(1, len(out) - sum(map(len, clips)) + 1)))
        for clip in clips:
            out[at : at + len(clip)] += clip[: len(out) - at] * np.float32(rng.uniform(0.4, 1.0) / 32768)
            at += len(clip)
    audio = torch.from_numpy(batch)
    texts = [" ".join(corpus.texts[row] for row in rows) for rows in items]
    names = [corpus.labels[rows[0]] if len(rows) == 1 else "" for rows in items]
    labels = torch.tensor([corpus.intents.index(name) if name else -1 for name in names])
    return normalised(augment(audio) if augment else audio), texts, labels


def losses(scores, texts, labels, vectoriser):
    """Return the CTC loss per letter and the cross-entropies of intents (zero where there is none) and n-grams."""
    letters, intents, ngrams = scores
    codes = [[LETTERS.index(letter) for letter in text if letter in LETTERS] for text in texts]
    sizes = torch.tensor([len(code) for code in codes])
    frames = torch.full((len(codes),), letters.shape[1])
    targets = torch.tensor([code for text in codes for code in text])
    paths = letters.float().log_softmax(-1).transpose(0, 1)
    ctc = nn.functional.ctc_loss(paths, targets, frames, sizes, zero_infinity=True)
    known = labels >= 0
    intent = nn.functional.cross_entropy(intents.float()[known], labels[known]) if known.any() else ctc * 0
    weights = torch.from_numpy(vectoriser.transform(texts).toarray()).float()
    shares = weights / weights.sum(1, keepdim=True).clamp_min(1e-6)
    return ctc, intent, nn.functional.cross_entropy(ngrams.float(), shares)


def greedy_text(scores):
    """Read the best letter path of one clip, scores of shape (frames, 29)."""
    path = torch.unique_consecutive(scores.argmax(-1)).tolist()
    return "".join(LETTERS[code] for code in path if code)


def held_out_figures(model, corpus, count=240):
    """Return the character error rate and the intent accuracy on clean held-out synthetic clips."""
    rows = np.flatnonzero((corpus.table["held_out"] & (corpus.table["intent"] != "")).to_numpy())
    rows = rows[np.argsort(corpus.table["length"].to_numpy()[rows])]
    rows = rows[:: max(1, len(rows) // count)]
    wrong = letters = right = 0
    for i in range(0, len(rows), 16):
        part = rows[i : i + 16]
        seconds = corpus.table["length"].to_numpy()[part].max() / RATE
        audio, texts, labels = make_batch(corpus, seconds, [(row,) for row in part], np.random.default_rng(0))
        scores, intents, _ = model(audio)
        wrong += sum(edit_distance(greedy_text(s), text) for s, text in zip(scores, texts, strict=True))
        letters += sum(map(len, texts))
        right += (intents.argmax(1) == labels).sum().item()
    return wrong / letters, right / len(rows)


def features(model, clips):
    """Return the mean-pooled last hidden states of clips, shape (clips, 192)."""
    order = np.argsort([len(clip) for clip in clips])
    out = np.zeros((len(clips), 192), dtype=np.float32)
    for i in range(0, len(order), 16):
        part = order[i : i + 16]
        batch = [normalised(torch.from_numpy(clips[j])[None])[0] for j in part]
        audio = nn.utils.rnn.pad_sequence(batch, batch_first=True)
        out[part] = model.encoder(audio).last_hidden_state.float().mean(1).numpy()
    return out


class Probes:
    """Logistic regressions on frozen features: left-out real commands, and bundled train to validation.

    Parameters
    ----------
    commands : pathlib.Path or None
        Folder of the real commands, of which only the fixed left-out 30 % are read.
    dataset : pathlib.Path or None
        The bundled dataset, of which `csv/train.csv` and `csv/validation.csv` are read once they exist.
    """

    def __init__(self, commands, dataset, per_class=40):
        self.dataset, self.per_class, self.bundled = dataset, per_class, None
        self.commands = None
        if commands:
            table = pd.read_csv(commands / "metadata.csv")
            table = self.sample(table[table["file_name"].map(is_left_out)], per_class + 10)
            self.commands = self.read(commands, table), table["intent"]

    @staticmethod
    def sample(table, per_class):
        """Take at most `per_class` random rows of each intent."""
        return table.sample(frac=1, random_state=0).groupby("intent").head(per_class)

    @staticmethod
    def read(folder, table):
        """Read the table's audio files."""
        return [read_real(folder / name, 1.0).astype(np.float32) for name in table["file_name"]]

    def load_bundled(self):
        """Read the bundled train and validation clips once both tables exist; tell whether they do."""
        if self.bundled is None and self.dataset:
            try:
                bundled = []
                for name, size in (("train", self.per_class), ("validation", self.per_class // 2)):
                    table = self.sample(pd.read_csv(self.dataset / "csv" / f"{name}.csv"), size)
                    bundled.append((self.read(self.dataset, table), table["intent"]))
                self.bundled = bundled
            except (OSError, KeyError, RuntimeError):  # not there, or being written just now
                return False
        return self.bundled is not None

    def __call__(self, model):
        """Return the probe accuracies `commands` (5 folds), `bundled` and `few_shot` (12 clips an intent)."""
        figures = {"commands": 0.0, "bundled": 0.0, "few_shot": 0.0}
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        if self.commands:
            clips, labels = self.commands
            figures["commands"] = cross_val_score(probe, features(model, clips), labels).mean()
        if self.load_bundled():
            (train, train_labels), (val, val_labels) = self.bundled
            train, val = features(model, train), features(model, val)
            figures["bundled"] = probe.fit(train, train_labels).score(val, val_labels)
            few = train_labels.groupby(train_labels).cumcount().to_numpy() < 12
            figures["few_shot"] = probe.fit(train[few], train_labels[few]).score(val, val_labels)
        return figures


def export(encoder, folder):
    """Write the encoder as a Hub folder, weights in half precision on disk and read back as float32."""
    part = folder.with_name(folder.name + ".part")
    copy.deepcopy(encoder).half().save_pretrained(part)
    config = json.loads((part / "config.json").read_text())
    (part / "config.json").write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n")
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=RATE, do_normalize=True, return_attention_mask=False)
    extractor.save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)


class Run:
    """A resumable training run in a folder: `last.pt`, `best.pt`, `encoder/` (the best one) and `log.csv`."""

    def __init__(self, args):
        self.args, self.folder = args, args.output
        self.load()
        self.vectoriser = self.corpus.fit_ngrams()
        torch.manual_seed(0)
        self.model = Pretrainer(len(self.corpus.intents))
        self.fast = torch.compile(self.model, dynamic=False)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=PEAK_LR, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.state = {"step": 0, "hours": 0.0, "audio_hours": 0.0, "best": -1.0}
        if (self.folder / "last.pt").exists():
            saved = torch.load(self.folder / "last.pt", weights_only=True)
            self.model.load_state_dict(saved["model"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.state = saved["state"]
        self.rng = np.random.default_rng(1000 + self.state["step"])
        some = self.rng.choice(len(self.corpus.table), 300, replace=False)
        self.augment = Augment([self.corpus.clip(row) for row in some], self.rng)
        self.probes = Probes(args.commands, args.dataset)
        self.recent = []

    def load(self):
        """Load the corpus as it is now and record its voices and texts."""
        self.corpus = Corpus.load(self.args.corpus, self.args.phrasings)
        self.corpus.write_lists(self.folder / "lists", self.args.commands)

    def save(self, name="last.pt"):
        """Write a checkpoint by renaming, so that a kill at any moment leaves a whole one."""
        part = self.folder / (name + ".part")
        saved = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save(saved | {"state": self.state}, part)
        os.replace(part, self.folder / name)

    def longest(self):
        """Return the longest clip length in seconds that the curriculum allows now."""
        return next((seconds for step, seconds in CURRICULUM if self.state["step"] < step), LENGTHS[-1])

    def step(self, seconds, items):
        """Take one optimiser step on a batch."""
        left = 1 - self.state["step"] / self.args.steps
        for group in self.optimiser.param_groups:
            group["lr"] = PEAK_LR * min(1.0, (self.state["step"] + 1) / WARM_UP, max(0.0, left) / DECAY)
        audio, texts, labels = make_batch(self.corpus, seconds, items, self.rng, self.augment)
        with torch.autocast("cpu", torch.bfloat16):
            scores = self.fast(audio)
        ctc, intent, ngrams = losses(scores, texts, labels, self.vectoriser)
        self.optimiser.zero_grad(set_to_none=True)
        (ctc + INTENT_WEIGHTS[left < DECAY] * intent + NGRAM_WEIGHT * ngrams).backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.recent = [*self.recent[-199:], (ctc.item(), intent.item(), ngrams.item())]
        self.state["step"] += 1
        self.state["audio_hours"] += audio.numel() / RATE / 3600

    def evaluate(self):
        """Log one line and keep the encoder if it is the best so far."""
        began = time.time()
        self.model.eval()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            cer, intent = held_out_figures(self.model, self.corpus)
            figures = self.probes(self.model)
        self.model.train()
        score = 1 - cer + float(sum(figures.values()))
        if score > self.state["best"]:
            self.state["best"] = score
            self.save("best.pt")
            export(self.model.encoder, self.folder / "encoder")
        ctc_loss, intent_loss, ngram_loss = np.mean(self.recent, axis=0)
        row = {key: round(value, 3) for key, value in self.state.items()}
        row |= {"ctc_loss": round(ctc_loss, 4), "intent_loss": round(intent_loss, 4)}
        row |= {"ngram_loss": round(ngram_loss, 4), "cer": round(cer, 4)}
        row |= {"intent": round(intent, 4)} | {key: round(float(value), 4) for key, value in figures.items()}
        row["eval_seconds"] = round(time.time() - began, 1)
        is_new = not (self.folder / "log.csv").exists()
        with (self.folder / "log.csv").open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if is_new:
                writer.writeheader()
            writer.writerow(row)

    def report(self):
        """Print the progress and the last steps' losses."""
        ctc, intent, ngrams = np.mean(self.recent[-25:], axis=0)
        hours, audio = self.state["hours"], self.state["audio_hours"]
        line = f"{hours:.3f} h ctc {ctc:.3f} intent {intent:.3f} n-grams {ngrams:.3f} audio {audio:.1f} h"
        print(self.state["step"], line, flush=True)

    def train(self):
        """Train until the steps, counted over all resumed parts, are done."""
        mark = saved = evaluated = time.time()
        self.model.train()
        while self.state["step"] < self.args.steps:
            longest = self.longest()
            self.load()  # each round sees the shards written meanwhile
            for seconds, items in draw_round(self.corpus, self.rng, longest):
                self.step(seconds, items)
                now = time.time()
                self.state["hours"] += (now - mark) / 3600
                mark = now
                if self.state["step"] % 25 == 0:
                    self.report()
                if now - evaluated > self.args.evaluate_minutes * 60:
                    self.evaluate()
                    evaluated = time.time()
                if now - saved > 150:
                    self.save()
                    saved = time.time()
                if self.state["step"] >= self.args.steps or self.longest() != longest:
                    break
        self.evaluate()
        self.save()


def main():
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder of shards")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--commands", type=Path, help="real commands, whose left-out part is probed")
    parser.add_argument("--dataset", type=Path, help="bundled dataset, probed from train to validation")
    parser.add_argument("--phrasings", type=Path, help="bundled phrasings, of which only train may occur")
    parser.add_argument("--steps", type=int, default=21_000, help="in all parts of a run (default: %(default)s)")
    parser.add_argument("--evaluate-minutes", type=float, default=8)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch._dynamo.config.recompile_limit = 4 * len(LENGTHS)
    args.output.mkdir(parents=True, exist_ok=True)
    Run(args).train()


if __name__ == "__main__":
    main()
