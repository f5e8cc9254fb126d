// Whether somebody speaks: Silero's detector, as voice_activity.py asks it.

import { InferenceSession, Tensor } from "./onnxruntime/ort.wasm.bundle.min.mjs";

export const RATE = 16_000; // Hz
const CHUNK = 512; // samples that the detector takes at once: 32 ms
const CONTEXT = 64; // samples of the chunk before, which it takes besides
const STATE = [2, 1, 128];
const LOUDEST = 4 * RATE; // samples that are enough to hear whether somebody speaks at all
const SPEECH = 0.5; // probability from which on a chunk is speech

/** Whether any chunk of the loudest 4 s of a waveform at 16 kHz is speech. */
export async function hasSpeech(waveform, detector) {
  const session = await InferenceSession.create(detector);
  const part = loudest(waveform);
  let state = new Tensor("float32", new Float32Array(2 * 128), STATE);
  const samples = new Float32Array(CONTEXT + CHUNK);
  for (let start = 0; start < part.length; start += CHUNK) {
    samples.copyWithin(0, CHUNK);
    samples.fill(0, CONTEXT);
    samples.set(part.subarray(start, start + CHUNK), CONTEXT);
    const input = new Tensor("float32", samples.slice(), [1, CONTEXT + CHUNK]);
    const { output, stateN } = await session.run({ input, state });
    if (output.data[0] >= SPEECH) return true;
    state = stateN;
  }
  return false;
}

function loudest(waveform) {
  if (waveform.length <= LOUDEST) return waveform;
  let energy = 0;
  let most = -1;
  let best = 0;
  waveform.forEach((x, i) => {
    energy += x * x;
    const start = i + 1 - LOUDEST;
    if (start > 0) energy -= waveform[start - 1] ** 2;
    if (start >= 0 && energy > most) [most, best] = [energy, start];
  });
  return waveform.subarray(best, best + LOUDEST);
}
