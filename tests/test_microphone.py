"""The microphone, with another PortAudio."""

import builtins
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from speech_intent import microphone
from speech_intent.errors import UserError


class PortAudioError(Exception):
    pass


class Stream:
    """Records a ramp when it is started."""

    opened = None

    def __init__(self, callback, samplerate, blocksize, **options):
        self.callback, self.rate, self.n, self.options = callback, samplerate, blocksize, options
        self.is_open = True
        Stream.opened = self

    def start(self):
        ramp = np.arange(self.n, dtype=np.float32)[:, None] / self.n
        for _ in range(40):
            frames = ramp.copy()
            self.callback(frames, self.n, None, None)
            frames[:] = 0.0  # PortAudio takes its memory back

    def close(self):
        self.is_open = False


@pytest.fixture
def sounddevice(monkeypatch):
    module = SimpleNamespace(
        PortAudioError=PortAudioError,
        InputStream=Stream,
        query_devices=lambda device, kind: {"name": "Mic", "default_samplerate": 48_000.0},
    )
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def test_blocks_come_at_16_khz(sounddevice):
    with microphone.recording("Mic") as recorder:
        blocks = recorder.blocks()
        heard = np.concatenate([next(blocks) for _ in range(40)])
    assert recorder.name == "Mic"
    assert Stream.opened.options["device"] == "Mic"
    assert abs(len(heard) - 40 * 0.03 * 16_000) < 500  # the resampler holds some
    assert heard.mean() == pytest.approx(0.5, abs=0.02)
    assert not Stream.opened.is_open


def test_what_nobody_takes_is_lost_and_counted(sounddevice, monkeypatch):
    monkeypatch.setattr(microphone, "WAITING", 30)
    with microphone.recording() as recorder:
        assert recorder.n_lost == 10


def test_a_machine_without_a_microphone_gets_one_line(sounddevice):
    def query(device, kind):
        raise PortAudioError("Error querying device -1")

    sounddevice.query_devices = query
    with pytest.raises(UserError) as caught, microphone.recording():
        pass
    assert str(caught.value) == (
        "the microphone: cannot be used (Error querying device -1); plug one in, allow its use, "
        "or name another: python -m sounddevice lists them"
    )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("sounddevice"), 'needs the package sounddevice; pip install -e "'),
        (OSError("PortAudio library not found"), "needs PortAudio, .*apt install libportaudio2"),
    ],
)
def test_what_is_not_installed_gets_one_line(monkeypatch, error, message):
    real = builtins.__import__

    def missing(name, *arguments, **options):
        if name == "sounddevice":
            raise error
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match=message), microphone.recording():
        pass
