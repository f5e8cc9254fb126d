"""The gap between synthetic voices and people's: what a row trains on, and how it is scored."""

import numpy as np
import pandas as pd
import voice_gap

from speech_intent.frozen_head import Head


def test_parts_are_by_engine_voice_and_number():
    engines = ["espeak-ng"] * 60 + ["piper"] * 60 + ["hibari"] * 60
    said = pd.DataFrame(
        {
            "engine": engines,
            "speaker": [f"{engine}-{i % 10}" for i, engine in enumerate(engines)],
            "intent": ["on", "off"] * 90,
        },
        index=range(100, 280),
    )
    parts = voice_gap.parts(said)
    counts = {name: int(part.sum()) for name, part in parts.items()}
    assert counts["all"] == 180
    assert counts["eSpeak NG alone"] == counts["Piper alone"] == counts["Hibari alone"] == 60
    assert counts["neural voices alone"] == 120
    assert counts["40 clips an intent"] == 80
    assert said["speaker"][parts["8 voices"]].nunique() == 8
    assert all(part.index.equals(said.index) for part in parts.values())


def test_a_head_is_scored_on_people():
    head = Head(np.eye(2, dtype=np.float32), np.zeros(2), 1.0, pd.DataFrame())
    pooled = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    scored = voice_gap.score(head, pooled, np.array([0, 1, 1]))
    assert (scored["correct"], scored["n"]) == (2, 3)
