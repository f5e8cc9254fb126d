"""Damage clips of every container in thousands of ways, and see what reading them does.

    python benchmarks/fuzz_audio.py --n 10000 --seed 0

Each clip is read in a process of its own kind, with 10 s and 300 MB above what that process takes
at rest. Anything but an answer or a refusal that its user can put right makes the exit status 1.
"""

import argparse
import io
import multiprocessing
import os
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
import pandas as pd
import soundfile
from tqdm import tqdm

from speech_intent import audio
from speech_intent.errors import UserError
from speech_intent.paths import BUNDLED, ROOT

ODD = ROOT / "tests" / "odd_audio"
CLIP = BUNDLED / "audio" / "test-0001.mp3"
RATE = 16_000  # Hz
LONGEST_WAIT = 10.0  # seconds
MOST_MEMORY = 300.0  # MB above what a process takes that has read nothing yet
START = "spawn"  # a process that has read nothing yet
HEADER = 256  # bytes at the beginning, which are damaged more often than others
FINE = ("right", "warned", "refused")
FAULTS = ("error", "crash", "hang", "memory")

# container and codec, as FFmpeg names them: suffix -> (format, codec, Hz)
BY_FFMPEG = {
    "m4a": ("ipod", "aac", 48_000),
    "alac.m4a": ("ipod", "alac", 16_000),
    "opus.mp4": ("mp4", "libopus", 48_000),
    "mov": ("mov", "pcm_s16le", 16_000),
    "3gp": ("3gp", "libopencore_amrnb", 8_000),
    "webm": ("webm", "libopus", 48_000),
    "mka": ("matroska", "libopus", 48_000),
    "mkv": ("matroska", "aac", 44_100),
    "opus": ("opus", "libopus", 48_000),
    "aac": ("adts", "aac", 44_100),
    "mp3": ("mp3", "libmp3lame", 16_000),
    "mp2": ("mp2", "mp2", 48_000),
    "wma": ("asf", "wmav2", 44_100),
    "amr": ("amr", "libopencore_amrnb", 8_000),
    "avi": ("avi", "libmp3lame", 44_100),
    "flv": ("flv", "aac", 44_100),
    "ts": ("mpegts", "aac", 48_000),
    "mpg": ("mpeg", "mp2", 48_000),
    "voc": ("voc", "pcm_s16le", 16_000),
    "wv": ("wv", "wavpack", 16_000),
    "tta": ("tta", "tta", 16_000),
    "pipe.flac": ("flac", "flac", 16_000),
    "mp3.wav": ("wav", "libmp3lame", 44_100),
    "adpcm.wav": ("wav", "adpcm_ms", 16_000),
    "aifc": ("aiff", "pcm_mulaw", 16_000),
}

# by libsndfile: suffix -> (format, subtype)
BY_LIBSNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "gsm.wav": ("WAV", "GSM610"),
    "ulaw.wav": ("WAV", "ULAW"),
    "wavex.wav": ("WAVEX", "PCM_24"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "alac.caf": ("CAF", "ALAC_16"),
    "pcm.caf": ("CAF", "PCM_16"),
    "vorbis.ogg": ("OGG", "VORBIS"),
    "sf.opus": ("OGG", "OPUS"),
    "sf.mp3": ("MP3", "MPEG_LAYER_III"),
    "voc": ("VOC", "PCM_16"),
    "nist": ("NIST", "PCM_16"),
}


def by_libsndfile(waveform: np.ndarray, format: str, subtype: str) -> bytes:
    """Encode a waveform (n_samples,) at `RATE`."""
    file = io.BytesIO()
    soundfile.write(file, waveform, RATE, format=format, subtype=subtype)
    return file.getvalue()


def by_ffmpeg(waveform: np.ndarray, format: str, codec: str, rate: int, **options: str) -> bytes:
    """Encode a waveform (n_samples,) at `RATE`; `options` are those of FFmpeg's container."""
    file = io.BytesIO()
    options = {"fflags": "+bitexact"} | options  # no random numbers
    with av.open(file, "w", format=format, container_options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 32_000
        stream.codec_context.open()  # some containers begin with what the encoder then says
        samples = np.round(waveform * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(stream.format, "mono", rate, stream.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            piece.pts = None
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return file.getvalue()


def seeds() -> dict[str, bytes]:
    """Encode a bundled clip for every container, and add the odd files: name -> bytes."""
    waveform = audio.load(CLIP, RATE)
    found = {}
    for suffix, how in BY_LIBSNDFILE.items():
        found[suffix] = by_libsndfile(waveform, *how)
    for suffix, how in BY_FFMPEG.items():
        found[suffix] = by_ffmpeg(waveform, *how)
    for path in sorted(ODD.glob("*_*.*")):
        found[path.name] = path.read_bytes()
    return found


# ---- Damage


def damaged(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Damage a file in one to three ways."""
    for _ in range(rng.integers(1, 4)):
        if len(data) < 2:
            break
        data = WAYS[rng.integers(len(WAYS))](data, others, rng)
    return data


def flip(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Flip bits, half of the time in the header."""
    changed = bytearray(data)
    end = HEADER if rng.random() < 0.5 else len(data)
    for place in rng.integers(min(end, len(data)), size=rng.integers(1, 20)):
        changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def set_field(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Put an extreme or a random number into the header."""
    width = int(rng.choice([1, 2, 4, 8]))
    numbers = [bytes(width), b"\xff" * width, b"\x7f" + b"\xff" * (width - 1), rng.bytes(width)]
    place = int(rng.integers(min(HEADER, len(data))))
    return data[:place] + numbers[rng.integers(4)] + data[place + width :]


def cut(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Cut off the end or, more seldom, the beginning."""
    place = int(rng.integers(1, len(data)))
    return data[place:] if rng.random() < 0.2 else data[:place]


def block_of(data: bytes, rng: np.random.Generator) -> slice:
    """Pick a piece of a file."""
    start = int(rng.integers(len(data)))
    return slice(start, start + int(rng.integers(1, 4_096)))


def delete(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Take a piece out."""
    block = block_of(data, rng)
    return data[: block.start] + data[block.stop :]


def double(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Put a piece in a second time."""
    block = block_of(data, rng)
    return data[: block.stop] + data[block] + data[block.stop :]


def overwrite(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Overwrite a piece with zeros or noise."""
    block = block_of(data, rng)
    n_bytes = len(data[block])
    noise = bytes(n_bytes) if rng.random() < 0.5 else rng.bytes(n_bytes)
    return data[: block.start] + noise + data[block.stop :]


def splice(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Go on in the middle of another file."""
    other = others[rng.integers(len(others))]
    place = int(rng.integers(len(data)))
    return data[:place] + other[int(rng.integers(len(other))) :]


WAYS = (flip, flip, set_field, set_field, cut, delete, double, overwrite, splice)


# ---- Reading


def outcome(data: bytes) -> str:
    """Read a file to its end; say what came of it."""
    warnings: list[audio.AudioWarning] = []
    try:
        for block in audio.blocks(data, RATE, warn=warnings.append):
            assert np.isfinite(block).all()
    except UserError:
        return "refused"
    except Exception as error:
        return f"error: {error!r}"
    return "warned" if warnings else "right"


def memory() -> float:
    """Tell the most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(connection: Connection) -> None:
    """Read the files that come, one after the other; send back outcomes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what decoders say of damaged files
    idle = memory()
    connection.send("ready")
    while True:
        result = outcome(connection.recv_bytes())
        taken = memory() - idle
        connection.send(f"memory: {taken:.0f} MB" if taken > MOST_MEMORY else result)


class Worker:
    """A process that reads files, and another one after each that it does not survive."""

    def __init__(self) -> None:
        self.process: multiprocessing.process.BaseProcess | None = None

    def outcome(self, data: bytes) -> str:
        """Have a file read."""
        if self.process is None:
            self._start()
        self.connection.send_bytes(data)
        if not self.connection.poll(LONGEST_WAIT):
            self.end()
            return "hang"
        try:
            result: str = self.connection.recv()
        except EOFError:
            self.end()
            return "crash"
        if result.startswith("memory"):
            self.end()
        return result

    def end(self) -> None:
        """Stop the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
        self.process = None

    def _start(self) -> None:
        context = multiprocessing.get_context(START)
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.connection.recv()


def fuzz(n: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Read `n` damaged files: yield the name of what was damaged, the outcome, the file."""
    files = seeds()
    names = list(files)
    worker = Worker()
    for i in range(seed, seed + n):
        rng = np.random.default_rng(i)
        name = names[rng.integers(len(names))]
        data = damaged(files[name], list(files.values()), rng)
        yield name, worker.outcome(data), data
    worker.end()


def table(outcomes: Counter[tuple[str, str]]) -> pd.DataFrame:
    """Count outcomes: a row a container."""
    counts = pd.Series(outcomes).unstack(fill_value=0)
    counts = counts.reindex(columns=[*FINE, *FAULTS], fill_value=0)
    counts.loc["all"] = counts.sum()
    return counts


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--n", type=int, default=10_000, help="files (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="of the first file (default: %(default)s)")
    p.add_argument("--keep", type=Path, metavar="FOLDER", help="for files that end in a fault")
    return p


def main(argv: list[str] | None = None) -> int:
    """Print a table of outcomes; return 1 if there is a fault among them."""
    args = parser().parse_args(argv)
    outcomes: Counter[tuple[str, str]] = Counter()
    runs = tqdm(fuzz(args.n, args.seed), total=args.n, unit="file", disable=None)
    for i, (name, result, data) in enumerate(runs, args.seed):
        kind = result.split(":")[0]
        outcomes[Path(name).suffix or f".{name}", kind] += 1
        if kind in FAULTS:
            tqdm.write(f"seed {i}, {name}: {result}", file=sys.stderr)
            if args.keep is not None:
                args.keep.mkdir(parents=True, exist_ok=True)
                (args.keep / f"{i}-{name}").write_bytes(data)
    print(table(outcomes).to_string())
    return int(any(kind in FAULTS for _, kind in outcomes))


if __name__ == "__main__":
    sys.exit(main())
