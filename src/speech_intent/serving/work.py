"""What a clip costs, before it is decoded: by its header, or by its bytes where that says nothing.

Work is counted in seconds of audio that the model hears. The header is not believed: no more of a
clip is decoded than was counted.
"""

import io
from dataclasses import dataclass

import soundfile

OVERHEAD = 0.5  # a clip's, whatever its length: it is read, and its answer written
DECODED = 1_500_000  # samples that take as long to decode as the shipped model takes for a second
LEAST_BYTES = 1_000  # a second: 8 kbit/s, which speech takes at the least
USUAL_RATE = 2 * 48_000  # samples a second, all channels, where they are not known
SLACK = 1.0  # seconds that a clip may last beyond what its header says


@dataclass(frozen=True)
class Estimate:
    """How much of a clip is heard at most, and at what rate it comes."""

    seconds: float
    samples_per_second: float  # of all channels

    @property
    def work(self) -> float:
        """What a clip costs if it lasts so long."""
        return self.work_of(self.seconds)

    def work_of(self, seconds: float) -> float:
        """Say what so many seconds of it cost."""
        return OVERHEAD + seconds * (1 + self.samples_per_second / DECODED)

    def at_most(self, max_seconds: float) -> "Estimate":
        """Give the same for a clip of which nothing is known but the limit."""
        return Estimate(max_seconds, self.samples_per_second)


def estimate(data: bytes, max_seconds: float) -> Estimate:
    """Look at an encoded clip, of which `max_seconds` are heard at most."""
    seconds = len(data) / LEAST_BYTES
    samples_per_second = float(USUAL_RATE)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            seconds = file.frames / file.samplerate
            samples_per_second = float(file.samplerate * file.channels)
    except (soundfile.SoundFileError, ZeroDivisionError):
        pass  # FFmpeg's, which is not asked here, or no audio
    return Estimate(min(seconds + SLACK, max_seconds), samples_per_second)
