"""Write the pretraining corpus: synthesised short requests and real single words, as shards of 16-bit audio.

A shard is `shard_0000.npy` (int16, all its clips end to end, 16 kHz) and `shard_0000.csv`, one row per clip
with `start,length` (samples), `text` (normalised), `intent` (empty where unknown), `voice` and `source`. The
table is written last and by renaming, so an interrupted run goes on after the last shard that has one.
"""

import argparse
import functools
import io
import os
import re
import shutil
import subprocess
import tempfile
import wave
import zlib
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
import soxr
from tqdm import tqdm

RATE = 16_000
SEED = 17
REAL_SPEEDS = (1.0, 0.87, 1.14)  # resampling factors, which move the formants too: more speakers out of few
ACCENTS = ("en-us", "en-gb", "en-029", "en-gb-x-rp", "en-gb-x-gbclan")
# espeak-ng variants that no validation or test voice of the bundled dataset uses or closely resembles
VARIANTS = """
m1 m2 m4 m6 m7 f1 f3 f5 Alex Andy Annie AnxiousAndy Denis Gene Gene2 Jacky Lee Marco Mario Michael Tweaky
Storm adam antonio aunty belinda benjamin caleb ed edward edward2 grandpa gustave iven iven2 iven3 iven4
john klatt klatt2 klatt3 klatt4 klatt5 linda marcelo norbert pablo paul pedro rob robert sandro steph steph2
steph3 travis zac
""".split()  # noqa: SIM905
FLITE_VOICES = {"rms": 105.0, "awb": 130.0}  # recorded speakers, and about their mean pitch in Hz


def normalise(text):
    """Lower-case a text and keep letters, digits and apostrophes, single-spaced.

    Returns
    -------
    str
        For example `"What's my balance?"` gives `"what's my balance"`.
    """
    text = text.lower().replace("’", "'").replace("-", " ").replace("_", " ")
    return " ".join(re.sub(r"[^a-z0-9' ]", "", text).split())


def text_key(text):
    """Return the text without punctuation, by which texts of two collections are compared."""
    return normalise(text).replace("'", "")


def excluded_keys(phrasings):
    """Return the keys of the bundled validation and test phrasings, which pretraining must not contain.

    Parameters
    ----------
    phrasings : pathlib.Path or None
        Table with the columns `text` and `split`; None or a missing file excludes nothing.
    """
    if phrasings is None or not phrasings.exists():
        return set()
    table = pd.read_csv(phrasings)
    return {text_key(text) for text in table["text"][table["split"] != "train"]}


def is_left_out(file_name):
    """Tell whether a real command clip belongs to the fixed 30 % that pretraining never sees."""
    return zlib.crc32(file_name.encode()) % 10 >= 7


def load_texts(paths, excluded):
    """Read the request tables and return speakable texts with their intents.

    Returns
    -------
    list of tuple
        `(text as written, normalised text, intent)`; the intent is "" for out-of-scope requests.
    """
    rows, seen = [], set(excluded)
    for path in paths:
        for text, intent in pd.read_csv(path)[["text", "intent"]].itertuples(index=False):
            norm = normalise(text)
            # digits are dropped because their spoken form is not the written one; long texts cost padding
            if text_key(text) in seen or not 4 <= len(norm) <= 85 or re.search(r"\d", norm):
                continue
            seen.add(text_key(text))
            rows.append((text, norm, "" if intent == "oos" else f"{path.stem}/{intent}"))
    return rows


def make_fragments(texts, count, rng, excluded):
    """Cut runs of one to four words out of the texts: short clips, by which CTC learns to align."""
    rows = []
    while len(rows) < count:
        words = texts[rng.integers(len(texts))][1].split()
        size = int(rng.integers(1, 5))
        at = int(rng.integers(0, max(1, len(words) - size + 1)))
        norm = " ".join(words[at : at + size])
        if len(norm) > 1 and text_key(norm) not in excluded:
            rows.append((norm, norm, ""))
    return rows


def draw_voice(rng):
    """Draw a synthetic voice: name, speed factor (resampling), relative speaking rate and pitch.

    Returns
    -------
    dict
        `voice` such as `espeak-ng/en-us+f1` or `flite/rms`, `speed`, `tempo` and `pitch` (0 to 1).
    """
    if rng.random() < 0.3:
        voice = "flite/" + str(rng.choice(list(FLITE_VOICES)))
    else:
        accent = str(rng.choice(ACCENTS, p=(0.4, 0.24, 0.12, 0.12, 0.12)))
        variant = "" if rng.random() < 0.05 else "+" + str(rng.choice(VARIANTS))
        voice = f"espeak-ng/{accent}{variant}"
    spread = 0.28 if voice.startswith("flite") else 0.17  # two flite speakers have to stand for many
    return {
        "voice": voice,
        "speed": float(np.exp(rng.uniform(-spread, spread))),
        "tempo": float(np.exp(rng.uniform(-0.3, 0.25))),
        "pitch": float(rng.random()),
    }


def synthesise(text, how):
    """Speak a text with espeak-ng or flite.

    Parameters
    ----------
    text : str
    how : dict
        As returned by `draw_voice`.

    Returns
    -------
    numpy.ndarray
        float32 mono samples at 16 kHz.
    """
    engine, name = how["voice"].split("/")
    tempo = how["tempo"] / how["speed"]  # the resampling changes the rate, so the synthesiser makes up for it
    if engine == "espeak-ng":
        options = ["-v", name, "-s", str(int(165 * tempo)), "-p", str(int(15 + 70 * how["pitch"]))]
        data = subprocess.run(
            ["espeak-ng", *options, "--stdout", "--stdin"],
            input=text.encode(),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        rate = int.from_bytes(data[24:28], "little")
        samples = np.frombuffer(data[44 : len(data) - len(data) % 2], dtype="<i2")
    else:
        mean_pitch = FLITE_VOICES[name] * (0.75 + 0.7 * how["pitch"])
        with tempfile.NamedTemporaryFile(suffix=".wav", dir="/dev/shm") as out:
            settings = {"duration_stretch": 1 / tempo, "int_f0_target_mean": mean_pitch}
            options = [word for key, value in settings.items() for word in ("--setf", f"{key}={value:.2f}")]
            subprocess.run(["flite", "-voice", name, *options, "-t", text, "-o", out.name], check=True)
            with wave.open(io.BytesIO(Path(out.name).read_bytes())) as reader:
                rate, samples = reader.getframerate(), np.frombuffer(reader.readframes(-1), dtype="<i2")
    return soxr.resample(samples.astype(np.float32) / 32768, rate * how["speed"], RATE)


def read_real(path, speed):
    """Read a recording as float32 mono at 16 kHz, played `speed` times as fast."""
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate * speed, RATE)


def trim(samples, margin=0.08):
    """Cut silence (below 1 % of the peak) at both ends, but for `margin` seconds."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    if not len(loud):
        return samples
    pad = int(margin * RATE)
    return samples[max(0, loud[0] - pad) : loud[-1] + pad]


def plan_real(folders):
    """List the real clips at each speed as planned rows; commands of the left-out 30 % are skipped."""
    rows = []
    for folder in folders:
        table = pd.read_csv(folder / "metadata.csv")
        words = table["text"] if "text" in table else table["intent"]
        for file_name, text in zip(table["file_name"], words, strict=True):
            if "text" not in table and is_left_out(file_name):
                continue
            row = (str(folder / file_name), normalise(text), "")
            rows += [(*row, {"voice": "real", "speed": speed}) for speed in REAL_SPEEDS]
    return rows


def make_plan(args):
    """Draw every row of the corpus: real clips and fragments first, so that training can start early."""
    rng = np.random.default_rng(SEED)
    excluded = excluded_keys(args.phrasings)
    texts = load_texts(args.texts, excluded)
    real = plan_real(args.real)
    fragments = make_fragments(texts, args.fragments, rng, excluded)
    early = real + [(*row, draw_voice(rng)) for row in fragments]
    plan = [early[i] for i in rng.permutation(len(early))]
    for _ in range(args.passes):  # each pass speaks every text once, by another voice
        plan += [(*texts[i], draw_voice(rng)) for i in rng.permutation(len(texts))]
    return plan


def write_shard(job, folder):
    """Make one shard's clips and write audio, then table; does nothing if the table exists.

    Parameters
    ----------
    job : tuple
        Shard number and its planned rows `(text or path, normalised text, intent, how)`.
    folder : pathlib.Path
    """
    number, rows = job
    audio_path, table_path = folder / f"shard_{number:04d}.npy", folder / f"shard_{number:04d}.csv"
    if table_path.exists():
        return
    clips, table, start = [], [], 0
    for text, norm, intent, how in rows:
        real = how["voice"] == "real"
        samples = trim(read_real(text, how["speed"]) if real else synthesise(text, how))
        if not 0.2 * RATE <= len(samples) <= 7 * RATE:
            continue
        clips.append((samples / max(np.abs(samples).max(), 1e-4) * 30_000).astype(np.int16))
        source = "real" if real else "synthetic"
        table.append((start, len(samples), norm, intent, how["voice"], source))
        start += len(samples)
    np.save(audio_path, np.concatenate(clips))
    part = table_path.with_suffix(".part")
    columns = ["start", "length", "text", "intent", "voice", "source"]
    pd.DataFrame(table, columns=columns).to_csv(part, index=False)
    os.replace(part, table_path)


def main():
    """Parse the arguments and write all shards."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--texts", type=Path, nargs="+", required=True, help="tables with text,intent")
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="folders with metadata.csv")
    parser.add_argument("--phrasings", type=Path, help="bundled phrasings, of which only train may occur")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--fragments", type=int, default=9000)
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--shard-size", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    for program in ("espeak-ng", "flite"):
        if shutil.which(program) is None:
            parser.error(f"{program} is not installed")
    args.output.mkdir(parents=True, exist_ok=True)
    plan = make_plan(args)
    size = args.shard_size
    jobs = [(i // size, plan[i : i + size]) for i in range(0, len(plan), size)]
    with Pool(args.workers) as pool:
        work = pool.imap(functools.partial(write_shard, folder=args.output), jobs)
        for _ in tqdm(work, total=len(jobs), unit="shard"):
            pass


if __name__ == "__main__":
    main()
