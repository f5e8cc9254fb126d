"""Speak sentences by many voices, and write a data folder: `python -m speech_intent.synthesize`."""

import argparse
import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from . import provenance, run_folder
from .command_line import exit_status
from .digests import sha256
from .errors import DataError, UserError
from .synthesis import card, engines, plan, sentences, speaking, voices
from .synthesis.plan import Clip
from .synthesis.speaking import Row
from .tables import SPLITS

TABLE = "metadata.csv"
COLUMNS = ("file_name", "intent", "speaker", "engine", "text", "split")
CHUNK = 8  # clips that a process takes at once

logger = logging.getLogger("speech_intent")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m speech_intent.synthesize",
        description="Speak sentences by many voices, changed as rooms, microphones and people "
        "change them, into a folder that --data takes. Needs: pip install -e '.[synthesis]'",
    )
    parser.add_argument(
        "sentences",
        type=Path,
        help="CSV with the columns intent and text, and maybe split; a text may have choices, "
        "'[turn|switch] on the {lamp|light}'",
    )
    parser.add_argument(
        "--output-dir", required=True, type=Path, help="gets clips/, metadata.csv and a card"
    )
    parser.add_argument(
        "--clips", type=int, help=f"of all intents together (default: {plan.USUAL} an intent)"
    )
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Speak as the arguments say; return the exit status."""
    args = make_parser().parse_args(argv)
    return exit_status(lambda: _report(args))


def _report(args: argparse.Namespace) -> None:
    """Do what the arguments say, and say what there is then."""
    table = synthesize(args.sentences, args.output_dir, args.clips, args.seed)
    counts = table["split"].value_counts()
    splits = ", ".join(f"{split} {counts.get(split, 0)}" for split in SPLITS)
    print(
        f"{len(table)} clips by {table['speaker'].nunique()} synthetic voices: {splits}",
        f"No person was recorded. Next: python -m speech_intent.train --data {args.output_dir} ...",
        sep="\n",
    )


def synthesize(
    source: Path, output_dir: Path, n_clips: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """Write a data folder that says the sentences of a CSV file; give its table.

    A folder that was begun with the same sentences, voices and numbers is gone on with. Raises
    `DataError` for sentences that cannot be spoken, `OutputError` for a folder of something else,
    `UserError` where no synthesiser is installed.
    """
    if seed < 0:
        raise UserError("seed", f"{seed} cannot be", "give a whole number from 0 on")
    read = sentences.read_sentences(source)
    names = engines.installed()
    if not names:
        problem = "there is no speech synthesiser"
        raise UserError("synthesize", problem, "pip install -e '.[synthesis]'")
    clips = plan.plan(read, n_clips, voices.all_voices(names, seed), seed)
    made_of = {
        "sentences": sha256(source),
        "clips": len(clips),
        "seed": seed,
        "engines": names,
    }
    with run_folder.held(output_dir):
        provenance.claim(output_dir, made_of, begun=(output_dir / "clips").exists())
        (output_dir / "clips").mkdir(exist_ok=True)
        rows = list(_spoken(clips, seed, output_dir))
        _check(clips, rows, source)
        table = pd.DataFrame([row for row in rows if row is not None], columns=list(COLUMNS))
        card.write(output_dir, table)
        _write(table, output_dir / TABLE)
    return table


def _spoken(clips: list[Clip], seed: int, folder: Path) -> Iterator[Row | None]:
    """Speak clips on all cores: their rows, in their order."""
    work = partial(speaking.make, seed=seed, folder=folder)
    n_processes = min(len(clips), os.cpu_count() or 1)
    # A process that was forked from one with threads may hang; one that was spawned imports anew.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_processes, context) as pool:
        rows = pool.map(work, clips, chunksize=CHUNK)
        bar = tqdm(rows, "Speaking", len(clips), unit="clip", disable=None, leave=False)
        try:
            yield from bar
        except BrokenProcessPool as error:  # mostly for want of memory
            problem = "a process that spoke was killed"
            raise UserError(
                folder, problem, "make room in memory, then repeat the command"
            ) from error


def _check(clips: list[Clip], rows: list[Row | None], source: Path) -> None:
    """Name sentences that no voice could say. Raises `DataError` if an intent is left without."""
    unspoken = [clip for clip, row in zip(clips, rows, strict=True) if row is None]
    lines = {clip.line: clip.text for clip in unspoken}
    problems = [f"line {line}: no voice can speak {text!r}" for line, text in lines.items()]
    spoken = {(row["intent"], row["split"]) for row in rows if row is not None}
    wanted = {(clip.intent, clip.split) for clip in clips}
    if wanted - spoken:
        raise DataError(source, problems)
    for problem in problems:
        logger.warning("warning: %s: %s; it is left out", source, problem)


def _write(table: pd.DataFrame, path: Path) -> None:
    partial_file = path.with_name(f"{path.name}.partial")
    table.to_csv(partial_file, index=False)
    os.replace(partial_file, path)


if __name__ == "__main__":
    sys.exit(main())
