"""Make `models/moonshine-tiny-en/` from the package that carries Moonshine Tiny.

    pip download --no-deps moonshine-voice==0.1.0
    python pretraining/convert_moonshine.py moonshine_voice-0.1.0-*.whl

The wheel's `encoder_model.ort` is a flatbuffer: convolutions and norms in float32, the matrices of
linear layers in 8 bits with one scale and zero point each. Same wheel, same bytes. Needs
onnxruntime, which the extra `dev` has. `--compare` also runs the wheel's encoder on the bundled
test clips and says how closely ours agrees.
"""

import argparse
import hashlib
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from half_precision import save_half
from transformers import MoonshineConfig, Wav2Vec2FeatureExtractor

from speech_intent import audio
from speech_intent.command_line import exit_status
from speech_intent.errors import ModelError
from speech_intent.moonshine import MoonshineForAudioClassification
from speech_intent.paths import BUNDLED, MOONSHINE

ENCODER = "moonshine_voice/assets/tiny-en/encoder_model.ort"
SHA256 = "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221"
LICENSE = re.compile(r"moonshine_voice-[^/]*\.dist-info/licenses/LICENSE")
TYPES = {1: np.float32, 2: np.uint8, 7: np.int64}  # of ONNX's TensorProto.DataType
RATE = 16_000  # Hz
COMPARED = 20  # clips
PREFIX = "model.encoder."


def read_wheel(wheel: Path) -> tuple[bytes, bytes]:
    """Read the encoder and the licence out of the wheel. Raises `ModelError` for another one."""
    remedy = "take it from pip download --no-deps moonshine-voice==0.1.0"
    try:
        with zipfile.ZipFile(wheel) as archive:
            encoder = archive.read(ENCODER)
            (name,) = filter(LICENSE.fullmatch, archive.namelist())
            licence = archive.read(name)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        problem = f"is no wheel with Moonshine Tiny ({error})"
        raise ModelError(wheel, problem, remedy) from error
    if hashlib.sha256(encoder).hexdigest() != SHA256:
        raise ModelError(wheel, "holds another encoder", remedy)
    return encoder, licence


def read_graph(encoder: bytes) -> Any:
    """Open the flatbuffer's graph."""
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import (
        InferenceSession,
    )

    return InferenceSession.GetRootAsInferenceSession(encoder, 0).Model().Graph()


def read_constants(graph: Any) -> dict[str, np.ndarray]:
    """Read the graph's constants by name."""
    constants = {}
    for i in range(graph.InitializersLength()):
        tensor = graph.Initializers(i)
        shape = [tensor.Dims(axis) for axis in range(tensor.DimsLength())]
        values = tensor.RawDataAsNumpy().view(TYPES[tensor.DataType()])
        constants[tensor.Name().decode()] = values.reshape(shape)
    return constants


def read_weights(graph: Any) -> dict[str, np.ndarray]:
    """Read the encoder's weights, float32, by the names that transformers gives them."""
    constants = read_constants(graph)
    weights = {
        name.removesuffix("_add_tensor"): values
        for name, values in constants.items()
        if re.match(r"(conv|layer)", name)
    }
    for i in range(graph.NodesLength()):
        node = graph.Nodes(i)
        name = node.Name().decode()
        inputs = [node.Inputs(k).decode() for k in range(node.InputsLength())]
        given = [constants[key] for key in inputs if key in constants]
        if name == "/groupnorm/Mul":
            weights["groupnorm.weight"] = given[0][:, 0]
        elif name == "/groupnorm/Add":
            weights["groupnorm.bias"] = given[0][:, 0]
        elif name.endswith("/MatMul_quant"):
            layer = name.removesuffix("/MatMul_quant").strip("/").replace("/", ".")
            weights[f"{layer}.weight"] = restore(inputs, constants)
    return weights


def restore(inputs: list[str], constants: dict[str, np.ndarray]) -> np.ndarray:
    """Turn a matrix in 8 bits, (n_inputs, n_outputs), into float32, (n_outputs, n_inputs)."""
    quantized = [key for key in inputs if key in constants and key.endswith("_quantized")]
    (name,) = (key.removesuffix("_quantized") for key in quantized)
    values = constants[f"{name}_quantized"].astype(np.float32)
    zero = constants[f"{name}_zero_point"].astype(np.float32)
    return ((values - zero) * constants[f"{name}_scale"]).T


def make_model(weights: dict[str, np.ndarray]) -> MoonshineForAudioClassification:
    """Put weights into the architecture; its head is random, and not stored."""
    model = MoonshineForAudioClassification(MoonshineConfig())  # its defaults are the tiny size
    tensors = {PREFIX + name: torch.tensor(values) for name, values in weights.items()}
    heads = {name: value for name, value in model.state_dict().items() if PREFIX not in name}
    model.load_state_dict(tensors | heads)  # every name must match
    return model.eval()


def save(model: MoonshineForAudioClassification, licence: bytes, folder: Path) -> None:
    """Write a model folder with weights in half precision; its card stays."""
    extractor = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    extractor.save_pretrained(folder)
    save_half(model, folder, leave_out=("classifier.weight", "classifier.bias"))
    (folder / "LICENSE").write_bytes(licence.rstrip() + b"\n")


def compare(encoder: bytes, folder: Path) -> str:
    """Run the wheel's encoder and the converted one on bundled test clips, one by one."""
    import onnxruntime

    session = onnxruntime.InferenceSession(encoder)
    model = MoonshineForAudioClassification.from_pretrained(folder, dtype="float32").eval()
    theirs, ours = [], []
    for file in sorted((BUNDLED / "audio").glob("test-*"))[:COMPARED]:
        values = audio.load(file, RATE)[None]
        mask = np.ones(values.shape, np.int64)
        outputs = session.run(None, {"input_values": values, "attention_mask": mask})
        theirs.append(outputs[0][0])
        with torch.inference_mode():
            frames, frame_mask = model.frames(torch.tensor(values))
            ours.append(model.model.encoder(frames, frame_mask)[0].numpy())
    a, b = np.concatenate(theirs).ravel(), np.concatenate(ours).ravel()
    correlation = np.corrcoef(a, b)[0, 1]
    return (
        f"{COMPARED} clips: correlation {correlation:.4f}, "
        f"mean difference {np.abs(a - b).mean():.4f}, mean size {np.abs(a).mean():.4f}"
    )


def main() -> int:
    """Convert the wheel that is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--output-dir", type=Path, default=MOONSHINE)
    parser.add_argument("--compare", action="store_true", help="with the wheel's own encoder")
    args = parser.parse_args()

    def convert() -> None:
        encoder, licence = read_wheel(args.wheel)
        model = make_model(read_weights(read_graph(encoder)))
        args.output_dir.mkdir(parents=True, exist_ok=True)
        save(model, licence, args.output_dir)
        print(f"{args.output_dir / 'model.safetensors'}: sha256 {digest(args.output_dir)}")
        if args.compare:
            print(compare(encoder, args.output_dir))

    return exit_status(convert)


def digest(folder: Path) -> str:
    """Give the SHA-256 of a folder's weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
