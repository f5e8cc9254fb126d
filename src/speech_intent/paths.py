"""Where things lie in the clone; the package is installed from it with `pip install -e`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "dataset"
UNKNOWN = BUNDLED / "unknown"  # clips that are no request of anybody's
RUNS = ROOT / "runs"
MOONSHINE = ROOT / "models" / "moonshine-tiny-en"  # the encoder that `train` starts from
SMALL = ROOT / "models" / "wav2vec2-small-en"  # the encoder that `pretraining/` made
SHIPPED = ROOT / "models" / "moonshine-tiny-scooter"  # the classifier that `make models` made
BUNDLED_ENCODERS = {"moonshine": MOONSHINE, "small": SMALL, "random": MOONSHINE}
