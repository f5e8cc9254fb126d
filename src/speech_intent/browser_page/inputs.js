// Waveforms to a model's inputs, as features.py makes them: one clip at a time.

import { Tensor } from "./onnxruntime/ort.wasm.bundle.min.mjs";
import { logMel } from "./mels.js";
import { energy, sum } from "./audio.js";

/** Give the inputs of a model by their names, for a waveform, Float32Array, (n_samples,). */
export function modelInputs(waveform, model) {
  if (model.mels) return { input_features: melInput(waveform, model.mels) };
  const nSamples = roundUp(waveform.length, model.step);
  const values = new Float32Array(nSamples);
  values.set(model.normalise ? normalised(waveform) : waveform);
  const mask = new BigInt64Array(nSamples).fill(1n, 0, waveform.length);
  return {
    input_values: new Tensor("float32", values, [1, nSamples]),
    attention_mask: new Tensor("int64", mask, [1, nSamples]),
  };
}

/** Bring a waveform to mean 0 and variance 1. */
function normalised(waveform) {
  const mean = sum(waveform) / waveform.length;
  const centred = waveform.map((x) => x - mean);
  const scale = 1 / Math.sqrt(energy(centred) / waveform.length + 1e-7);
  return centred.map((x) => x * scale);
}

/** Log mels as long as the extractor's window, or up to the clip's end, in quarters of a second. */
function melInput(waveform, mels) {
  let nFrames = mels.n_samples / mels.hop;
  let nSamples = mels.n_samples;
  if (mels.cut) {
    nFrames = roundUp(Math.ceil(waveform.length / mels.hop), mels.clip_frames);
    // Silence behind the end, or the transform would mirror the clip there.
    nSamples = Math.min((nFrames + mels.frames_behind) * mels.hop, mels.n_samples);
  }
  const filled = new Float32Array(nSamples);
  filled.set(waveform.subarray(0, nSamples));
  const { values, n } = logMel(filled, mels);
  nFrames = Math.min(nFrames, n);
  const nMels = mels.filters.length;
  const kept = new Float32Array(nMels * nFrames);
  for (let i = 0; i < nMels; i++) {
    kept.set(values.subarray(i * n, i * n + nFrames), i * nFrames);
  }
  return new Tensor("float32", kept, [1, nMels, nFrames]);
}

function roundUp(n, multiple) {
  return Math.ceil(n / multiple) * multiple;
}
