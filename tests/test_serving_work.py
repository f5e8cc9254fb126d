import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from serving_tools import encoded

from speech_intent.serving import work
from speech_intent.serving.work import Estimate, estimate

ODD = Path(__file__).parent / "odd_audio"
SILENCE = np.zeros((3 * 16_000, 1))


def test_work_is_a_clip_its_seconds_and_what_is_decoded_for_them():
    size = Estimate(3.0, work.DECODED / 2)
    assert size.work == work.OVERHEAD + 3 * 1.5
    assert size.work_of(1.0) == work.OVERHEAD + 1.5
    assert size.at_most(60.0) == Estimate(60.0, work.DECODED / 2)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_a_header_says_how_long_a_clip_is(kind):
    size = estimate(encoded(SILENCE, format=kind), 60.0)
    assert size.seconds == pytest.approx(3.0 + work.SLACK, abs=0.1)
    assert size.samples_per_second == 16_000


def test_channels_and_rate_are_work():
    many = estimate(encoded(np.zeros((192_000, 8)), 192_000, format="FLAC"), 60.0)
    assert many.samples_per_second == 8 * 192_000
    assert many.work > 1.5 * estimate(encoded(np.zeros(16_000)), 60.0).work


def test_hours_in_a_few_bytes_count_as_what_is_heard_of_them():
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8_000, 1, format="FLAC") as out:
        for _ in range(360):
            out.write(np.zeros(80_000))
    assert len(file.getvalue()) < 100_000
    assert estimate(file.getvalue(), 60.0).seconds == 60.0


@pytest.mark.parametrize("name", ["u_opus.webm", "u_aac.m4a", "u_amr.amr", "w_html.wav"])
def test_what_is_not_looked_into_counts_by_its_bytes(name):
    data = (ODD / name).read_bytes()
    seconds = min(len(data) / work.LEAST_BYTES + work.SLACK, 60.0)
    assert estimate(data, 60.0) == Estimate(seconds, work.USUAL_RATE)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"fLaC" + bytes(40), b"OggS" + bytes(100)])
def test_what_is_no_audio_costs_little(data):
    assert estimate(data, 60.0).seconds <= work.SLACK + 0.2


@pytest.mark.parametrize("odd", sorted(ODD.iterdir()), ids=lambda path: path.name)
def test_any_file_has_an_estimate_within_the_limit(odd):
    size = estimate(odd.read_bytes(), 60.0)
    assert 0 < size.seconds <= 60.0
    assert np.isfinite(size.work)
