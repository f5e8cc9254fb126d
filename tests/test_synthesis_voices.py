"""The voices: who they are, and that eSpeak NG has them all."""

from collections import Counter

import pytest

from speech_intent.synthesis import engines, voices
from speech_intent.synthesis.espeak import Espeak

OURS = ["espeak-ng", "piper", "hibari"]


@pytest.fixture(scope="module")
def everyone():
    return voices.all_voices(OURS, seed=0)


def test_there_are_many_speakers_and_each_has_a_name_of_its_own(everyone):
    counts = Counter(voice.engine for voice in everyone)
    assert counts == {"espeak-ng": 120, "piper": 56, "hibari": 24}
    assert len({voice.speaker for voice in everyone}) == len(everyone)


def test_the_seed_decides_who_speaks(everyone):
    assert voices.all_voices(OURS, seed=0) == everyone
    assert voices.all_voices(OURS, seed=1) != everyone


def test_no_robot_speaks_and_nobody_whispers(everyone):
    names = [voice.name.casefold() for voice in everyone if voice.engine == "espeak-ng"]
    assert not [name for name in names if "robo" in name or "whisper" in name or "klatt" in name]


def test_espeak_has_every_voice_that_may_be_drawn():
    espeak = Espeak()
    for accent in voices.ACCENTS:
        assert len(espeak.speak("on", f"{accent}+f3", 1.0, 0.0, 0.0)) > 1_000
    Espeak()  # another one takes nothing away from the first
    for voice in voices.all_voices(["espeak-ng"], seed=3):
        assert len(espeak.speak("on", voice.name, 1.0, 0.0, 0.0)) > 1_000


def test_espeak_says_which_voice_it_has_not():
    with pytest.raises(ValueError, match="no voice xx"):
        Espeak().speak("on", "xx+f3", 1.0, 0.0, 0.0)


def test_every_engine_has_voices_and_a_share():
    assert voices.VOICES.keys() == engines.KINDS.keys() == voices.ENGINE_SHARES.keys()
