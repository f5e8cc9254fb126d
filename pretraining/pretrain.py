"""Pretrain a small Wav2Vec2 encoder: letters, letter n-grams and request intents.

It learns from the corpus of `make_corpus.py`. Run again with the same arguments after an
interruption and it goes on from the last checkpoint. For a seed and a corpus its steps are frozen:
they made the shipped encoder.
"""

import argparse
import copy
import csv
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from corpus import LENGTHS, NGRAMS, Batch, BatchPlan, Corpus, draw_round, make_batch
from corpus_augment import CorpusAugment
from half_precision import save_half
from make_corpus import RATE
from probes import WIDTH, Probes
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import nn
from torchaudio.functional import edit_distance
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

LETTERS = "_abcdefghijklmnopqrstuvwxyz' "  # the first one is the CTC blank
PEAK_LR = 1.5e-3
WARM_UP = 300  # steps
CURRICULUM = ((1100, 2.0), (2400, 3.6))  # until this step, only clips up to so many seconds
DECAY = 0.25  # the last part of the steps, in which the learning rate falls to zero
# The intents' gradient is four times as long as CTC's and drowns it, so it counts little until
# letters are known.
INTENT_WEIGHT = 0.1
INTENT_WEIGHT_IN_DECAY = 0.3
NGRAM_WEIGHT = 0.5
NOISE_CLIPS = 300  # whose speech becomes babble
REPORT_STEPS = 25
RECENT_STEPS = 200
SAVE_SECONDS = 150
N_HELD_OUT = 240
HELD_OUT_BATCH = 16  # clips


@dataclass(frozen=True)
class Losses:
    """What a batch cost."""

    ctc: torch.Tensor  # a letter
    intent: torch.Tensor  # cross-entropy; zero where no intent is known
    ngrams: torch.Tensor  # cross-entropy

    def figures(self) -> tuple[float, float, float]:
        """Return the three as numbers."""
        return self.ctc.item(), self.intent.item(), self.ngrams.item()


@dataclass(frozen=True)
class HeldOut:
    """What is heard rightly of clean synthetic clips that were never trained on."""

    character_error_rate: float
    accuracy: float  # of the intents


def encoder_config() -> Wav2Vec2Config:
    """Return the encoder's configuration: narrow convolutions, six pre-norm layers of width 192."""
    return Wav2Vec2Config(
        hidden_size=WIDTH,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=768,
        conv_dim=(32, 64, 96, 128, 128, 128, 128),
        conv_bias=False,
        feat_extract_norm="group",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=16,
        apply_spec_augment=False,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
        vocab_size=len(LETTERS),
        mask_time_prob=0.15,
        mask_time_min_masks=0,
    )


class Pretrainer(nn.Module):
    """A Wav2Vec2 encoder with a head for letters on each frame, and two heads on their mean.

    Those are for intents and n-grams. The n-grams make the mean tell which words were spoken, in
    whatever order: what a linear classifier of texts reads.
    """

    def __init__(self, n_intents: int):
        super().__init__()
        self.encoder = Wav2Vec2Model(encoder_config())
        self.letters = nn.Linear(WIDTH, len(LETTERS))
        self.intents = nn.Linear(WIDTH, n_intents)
        self.ngrams = nn.Linear(WIDTH, NGRAMS)

    def forward(self, waveforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Score letters (clips, frames, 29), intents (clips, n) and n-grams (clips, 6000).

        `waveforms` has shape (clips, samples).
        """
        hidden = self.encoder(waveforms).last_hidden_state  # (clips, frames, 192)
        mean = hidden.mean(dim=1)
        return self.letters(hidden), self.intents(mean), self.ngrams(mean)


def losses(
    scores: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    batch: Batch,
    vectoriser: TfidfVectorizer,
) -> Losses:
    """Compare scores, as `Pretrainer` gives them, with what was said."""
    letters, intents, ngrams = scores
    codes = [
        [LETTERS.index(letter) for letter in text if letter in LETTERS] for text in batch.texts
    ]
    sizes = torch.tensor([len(code) for code in codes])
    frames = torch.full((len(codes),), letters.shape[1])
    targets = torch.tensor([letter for code in codes for letter in code])
    paths = letters.float().log_softmax(-1).transpose(0, 1)  # (frames, clips, 29)
    ctc = nn.functional.ctc_loss(paths, targets, frames, sizes, zero_infinity=True)
    known = batch.labels >= 0
    intent = ctc * 0
    if known.any():
        intent = nn.functional.cross_entropy(intents.float()[known], batch.labels[known])
    weights = torch.from_numpy(vectoriser.transform(batch.texts).toarray()).float()
    shares = weights / weights.sum(1, keepdim=True).clamp_min(1e-6)
    return Losses(ctc, intent, nn.functional.cross_entropy(ngrams.float(), shares))


def greedy_text(scores: torch.Tensor) -> str:
    """Read the best letter path of one clip, scores of shape (frames, 29)."""
    path = torch.unique_consecutive(scores.argmax(-1)).tolist()
    return "".join(LETTERS[code] for code in path if code)


def held_out_figures(model: Pretrainer, corpus: Corpus) -> HeldOut:
    """Measure on some clean held-out synthetic clips, from short to long."""
    lengths = corpus.table["length"].to_numpy()
    has_intent = corpus.table["intent"] != ""
    rows = np.flatnonzero((corpus.table["held_out"] & has_intent).to_numpy())
    rows = rows[np.argsort(lengths[rows])]
    rows = rows[:: max(1, len(rows) // N_HELD_OUT)]
    n_wrong = 0
    n_letters = 0
    n_right = 0
    for i in range(0, len(rows), HELD_OUT_BATCH):
        part = rows[i : i + HELD_OUT_BATCH]
        plan = BatchPlan(lengths[part].max() / RATE, [(row,) for row in part])
        batch = make_batch(corpus, plan, np.random.default_rng(0))
        letters, intents, _ = model(batch.waveforms)
        for scores, text in zip(letters, batch.texts, strict=True):
            n_wrong += edit_distance(greedy_text(scores), text)
            n_letters += len(text)
        n_right += (intents.argmax(1) == batch.labels).sum().item()
    return HeldOut(n_wrong / n_letters, n_right / len(rows))


def export(encoder: Wav2Vec2Model, folder: Path) -> None:
    """Write the encoder as a Hub folder."""
    part = folder.with_name(folder.name + ".part")
    save_half(copy.deepcopy(encoder), part)
    extractor = Wav2Vec2FeatureExtractor(
        sampling_rate=RATE, do_normalize=True, return_attention_mask=False
    )
    extractor.save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)


class Run:
    """A resumable training run in a folder.

    It holds `last.pt`, `best.pt`, `encoder/` (the best one) and `log.csv`.
    """

    def __init__(self, args: argparse.Namespace):
        """Take up the run where its folder stands."""
        self.args = args
        self.folder = args.output
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
        rows = self.rng.choice(len(self.corpus.table), NOISE_CLIPS, replace=False)
        self.augment = CorpusAugment([self.corpus.clip(row) for row in rows], self.rng)
        self.probes = Probes(args.commands, args.dataset)
        self.recent: list[tuple[float, float, float]] = []  # losses

    def load(self) -> None:
        """Load the corpus as it is now and record its voices and texts."""
        self.corpus = Corpus.load(self.args.corpus, self.args.phrasings)
        self.corpus.write_lists(self.folder / "lists", self.args.commands)

    def save(self, name: str = "last.pt") -> None:
        """Write a checkpoint by renaming, so that a kill at any moment leaves a whole one."""
        part = self.folder / (name + ".part")
        saved = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "state": self.state,
        }
        torch.save(saved, part)
        os.replace(part, self.folder / name)

    def longest(self) -> float:
        """Return the longest clip length in seconds that the curriculum allows now."""
        for until, seconds in CURRICULUM:
            if self.state["step"] < until:
                return seconds
        return LENGTHS[-1]

    def step(self, plan: BatchPlan) -> None:
        """Take one optimiser step on a batch."""
        left = 1 - self.state["step"] / self.args.steps
        warm_up = (self.state["step"] + 1) / WARM_UP
        decay = max(0.0, left) / DECAY
        for group in self.optimiser.param_groups:
            group["lr"] = PEAK_LR * min(1.0, warm_up, decay)
        batch = make_batch(self.corpus, plan, self.rng, self.augment)
        with torch.autocast("cpu", torch.bfloat16):
            scores = self.fast(batch.waveforms)
        loss = losses(scores, batch, self.vectoriser)
        intent_weight = INTENT_WEIGHT_IN_DECAY if left < DECAY else INTENT_WEIGHT
        self.optimiser.zero_grad(set_to_none=True)
        (loss.ctc + intent_weight * loss.intent + NGRAM_WEIGHT * loss.ngrams).backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.recent = [*self.recent[1 - RECENT_STEPS :], loss.figures()]
        self.state["step"] += 1
        self.state["audio_hours"] += batch.waveforms.numel() / RATE / 3600

    def evaluate(self) -> None:
        """Log one line and keep the encoder if it is the best so far."""
        began = time.time()
        self.model.eval()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            held_out = held_out_figures(self.model, self.corpus)
            figures = self.probes(self.model.encoder)
        self.model.train()
        score = 1 - held_out.character_error_rate + float(sum(figures.values()))
        if score > self.state["best"]:
            self.state["best"] = score
            self.save("best.pt")
            export(self.model.encoder, self.folder / "encoder")
        ctc_loss, intent_loss, ngram_loss = np.mean(self.recent, axis=0)
        row = {
            **{key: round(value, 3) for key, value in self.state.items()},
            "ctc_loss": round(ctc_loss, 4),
            "intent_loss": round(intent_loss, 4),
            "ngram_loss": round(ngram_loss, 4),
            "cer": round(held_out.character_error_rate, 4),
            "intent": round(held_out.accuracy, 4),
            **{key: round(float(value), 4) for key, value in figures.items()},
            "eval_seconds": round(time.time() - began, 1),
        }
        self.log(row)

    def log(self, row: dict[str, float]) -> None:
        """Append a line to log.csv, after its header if it is the first."""
        path = self.folder / "log.csv"
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if is_new:
                writer.writeheader()
            writer.writerow(row)

    def report(self) -> None:
        """Print the progress and the last steps' losses."""
        ctc, intent, ngrams = np.mean(self.recent[-REPORT_STEPS:], axis=0)
        line = f"{self.state['hours']:.3f} h ctc {ctc:.3f} intent {intent:.3f} "
        line += f"n-grams {ngrams:.3f} audio {self.state['audio_hours']:.1f} h"
        print(self.state["step"], line, flush=True)

    def train(self) -> None:
        """Train until the steps, counted over all resumed parts, are done."""
        mark = saved = evaluated = time.time()
        self.model.train()
        while self.state["step"] < self.args.steps:
            longest = self.longest()
            self.load()  # each round sees the shards written meanwhile
            for plan in draw_round(self.corpus, self.rng, longest):
                self.step(plan)
                now = time.time()
                self.state["hours"] += (now - mark) / 3600
                mark = now
                if self.state["step"] % REPORT_STEPS == 0:
                    self.report()
                if now - evaluated > self.args.evaluate_minutes * 60:
                    self.evaluate()
                    evaluated = time.time()
                if now - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.time()
                if self.state["step"] >= self.args.steps or self.longest() != longest:
                    break
        self.evaluate()
        self.save()


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--corpus", type=Path, required=True, help="folder of shards")
    add("--output", type=Path, required=True)
    add("--commands", type=Path, help="real commands, whose left-out part is probed")
    add("--dataset", type=Path, help="bundled dataset, probed from train to validation")
    add("--phrasings", type=Path, help="bundled phrasings, of which only train may occur")
    add("--steps", type=int, default=21_000, help="in all parts of a run (default: %(default)s)")
    add("--evaluate-minutes", type=float, default=8)
    add("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Train."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch._dynamo.config.recompile_limit = 4 * len(LENGTHS)
    args.output.mkdir(parents=True, exist_ok=True)
    Run(args).train()


if __name__ == "__main__":
    main()
