"""From sentences to a data folder of synthetic speech, for `synthesize`.

`patterns` one text for several sentences; `sentences` a file of them, checked; `espeak` and
`engines` text to waveform; `voices` who speaks; `plan` who says what; `speaking` a clip with room
and noise; `card` what the folder says of itself.
"""
