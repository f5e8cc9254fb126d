"""From sentences to a data folder of synthetic speech: what `python -m speech_intent.synthesize` runs.

In the order the data flows: patterns, sentences, espeak, engines, voices, plan, speaking, writing.
"""
