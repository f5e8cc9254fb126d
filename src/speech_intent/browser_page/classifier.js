// A trained classifier: a waveform in, ranked intents out, as predict.py has it.

import { InferenceSession, env } from "./onnxruntime/ort.wasm.bundle.min.mjs";
import { windows } from "./audio.js";
import { modelInputs } from "./inputs.js";
import { LOW, NO_SPEECH, judge, readTensors } from "./rejection.js";
import { hasSpeech } from "./voice_activity.js";

const FIRST = 8; // windows of a long clip in which speech is looked for
env.wasm.numThreads = 1; // more would need a server that isolates the page
env.wasm.wasmPaths = {
  wasm: new URL("onnxruntime/ort-wasm-simd-threaded.wasm", import.meta.url).href,
};

export class Classifier {
  /** Load what model.json names, an object; `progress` is told the share that is here. */
  static async load(model, progress) {
    const classifier = new Classifier();
    classifier.model = model;
    const graph = await download(model.file, model.bytes, progress);
    classifier.session = await InferenceSession.create(graph);
    if (model.rejection) {
      const file = await download(model.rejection);
      classifier.tensors = readTensors(file.buffer);
      classifier.detector = await download("speech.onnx");
    }
    return classifier;
  }

  /** Answer a waveform, Float32Array, (n_samples,): { scores: [[intent, score]], reason }. */
  async predict(waveform) {
    const { labels, max_seconds: seconds, sampling_rate: rate } = this.model;
    const parts = windows(waveform, Math.round(seconds * rate));
    const heard = [];
    for (const part of parts) heard.push(await this.session.run(modelInputs(part, this.model)));
    const logits = mean(heard.map((found) => found.logits.data));
    const scores = softmax(logits).map((score, i) => [labels[i], score]);
    scores.sort((a, b) => b[1] - a[1]);
    const { threshold } = this.model;
    if (threshold !== null) return { scores, reason: scores[0][1] >= threshold ? null : LOW };
    if (!this.tensors) return { scores, reason: null };
    const reason = judge(this.tensors, logits, mean(heard.map((found) => found.pooled.data)));
    if (reason === null) return { scores, reason };
    const speaks = await hasSpeech(joined(parts.slice(0, FIRST)), this.detector);
    return { scores, reason: speaks ? reason : NO_SPEECH };
  }
}

/** Fetch a file beside the page as bytes. */
async function download(name, size = 0, progress = () => {}) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name} is not there (${response.status})`);
  const parts = [];
  let n = 0;
  const reader = response.body.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    parts.push(next.value);
    n += next.value.length;
    progress(size ? Math.min(1, n / size) : 1);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function mean(rows) {
  return Array.from(rows[0], (_, i) => rows.reduce((total, row) => total + row[i], 0) / rows.length);
}

function softmax(logits) {
  const most = Math.max(...logits);
  const exponentials = logits.map((x) => Math.exp(x - most));
  const total = exponentials.reduce((a, b) => a + b);
  return exponentials.map((x) => x / total);
}

function joined(parts) {
  const all = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let n = 0;
  for (const part of parts) {
    all.set(part, n);
    n += part.length;
  }
  return all;
}
