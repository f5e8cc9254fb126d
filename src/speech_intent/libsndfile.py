"""What libsndfile reads rightly: WAV, FLAC, AIFF, AU, CAF and the like, Ogg, MP3."""

import contextlib
from collections.abc import Iterator

import soundfile

from .clips import Block, mixed
from .parts import Part

PRE_ROLL = 11_520  # ten MP3 frames, read and dropped: right after a seek the decoder is wrong
BLOCK_FRAMES = 65_536  # frames read at a time; 8 channels of float32 are then 2 MB
TOTAL = 21  # byte of a FLAC where its number of samples begins, in 36 bits


class _ForwardFile(soundfile.SoundFile):
    """A file that is read from front to back.

    soundfile seeks after each read, and an MP3 loses a frame by that.
    """

    def seekable(self) -> bool:
        return False


@contextlib.contextmanager
def opened(part: Part) -> Iterator[soundfile.SoundFile]:
    """Open a file. Raises `soundfile.SoundFileError` for what libsndfile does not read."""
    part.seek(0)
    with _ForwardFile(part) as file:
        yield file


def blocks(file: soundfile.SoundFile, start: float) -> Iterator[Block]:
    """Yield an open file from `start` seconds on.

    Raises `soundfile.SoundFileError` where it is damaged.
    """
    first = min(round(start * file.samplerate), file.frames)
    if first:
        place = file.seek(max(0, first - PRE_ROLL))
        file.read(first - place, dtype="float32")
    while len(samples := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
        yield mixed(samples, file.samplerate)  # (n_frames, n_channels)


def without_total(part: Part) -> int:
    """Let a FLAC forget its number of samples, so that it is read to its end; give the number."""
    part.seek(TOTAL)
    field = int.from_bytes(part.read(5))
    part.patch(TOTAL, (field >> 36 << 36).to_bytes(5))
    part.seek(0)
    return field & ((1 << 36) - 1)
