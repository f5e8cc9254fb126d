import io

import numpy as np
import pytest
import soundfile

from speech_intent import libsndfile
from speech_intent.parts import Part

RATE = 16_000
SAMPLES = np.random.default_rng(0).uniform(-0.5, 0.5, (150_000, 2)).astype(np.float32)


def encode(fmt: str, subtype: str | None = None) -> Part:
    file = io.BytesIO()
    soundfile.write(file, SAMPLES, RATE, format=fmt, subtype=subtype)
    return Part(file, 0)


@pytest.mark.parametrize("start", [0.0, 0.5, 5.0])
def test_a_file_is_read_block_by_block_from_a_start_on(start):
    with libsndfile.opened(encode("WAV", "FLOAT")) as file:
        blocks = list(libsndfile.blocks(file, start))
    first = round(start * RATE)
    waveform = np.concatenate([block.waveform for block in blocks])
    np.testing.assert_array_equal(waveform, SAMPLES[first:].mean(axis=1))
    assert {len(block.waveform) for block in blocks[:-1]} == {libsndfile.BLOCK_FRAMES}
    assert {block.format for block in blocks} == {(RATE, 2)}


def test_a_start_behind_the_end_gives_nothing():
    with libsndfile.opened(encode("WAV")) as file:
        assert list(libsndfile.blocks(file, 60.0)) == []


def test_a_flac_that_forgot_its_length_is_read_to_its_end_from_anywhere():
    part = encode("FLAC")
    assert libsndfile.without_total(part) == len(SAMPLES)
    with libsndfile.opened(part) as file:
        assert file.frames > len(SAMPLES)
        whole = np.concatenate([block.waveform for block in libsndfile.blocks(file, 0.0)])
    assert len(whole) == len(SAMPLES)
    with libsndfile.opened(part) as file:
        half = np.concatenate([block.waveform for block in libsndfile.blocks(file, 4.0)])
    np.testing.assert_array_equal(half, whole[4 * RATE :])


def test_what_is_no_file_of_its_own_is_not_opened():
    with (
        pytest.raises(soundfile.SoundFileError),
        libsndfile.opened(Part(io.BytesIO(b"text"), 0)),
    ):
        pass
