// Is a clip one of the taught requests at all? As rejection.py decides, with the same numbers.

export const FAR = "far from everything taught";
export const BETWEEN = "between two intents";
export const NO_SPEECH = "no speech";
export const LOW = "its score is too low";
const RIVAL = 0.25; // share of the second intent from which on an answer lies between two
const DISTANCE = 2; // the place of this signal

/** Read a safetensors file, an ArrayBuffer: name -> { data: Float32Array, shape }. */
export function readTensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  delete header.__metadata__;
  const tensors = {};
  for (const [name, { shape, data_offsets: offsets }] of Object.entries(header)) {
    const [start, end] = offsets.map((offset) => 8 + length + offset);
    tensors[name] = { data: new Float32Array(buffer.slice(start, end)), shape };
  }
  return tensors;
}

/** Say why a clip is not answered, by its logits and pooled output; null if it is. */
export function judge(tensors, logits, pooled) {
  const signals = signalsOf(tensors, logits, pooled);
  const usual = tensors.usual.data; // their means, then their standard deviations
  const n = signals.length;
  const standard = signals.map((x, i) => (x - usual[i]) / usual[n + i]);
  const threshold = tensors.threshold.data[0];
  if (standard.reduce((a, b) => a + b) >= threshold) return null;
  const best = Math.max(...logits);
  const shares = [...logits].map((x) => Math.exp(x - best)).sort((a, b) => a - b);
  const total = shares.reduce((a, b) => a + b);
  const isRivalled = shares.length > 1 && shares.at(-2) / total >= RIVAL;
  return isRivalled && !(standard[DISTANCE] < threshold / n) ? BETWEEN : FAR;
}

function signalsOf({ mean, scale, whitening, centres, unknown }, logits, pooled) {
  const standard = Array.from(pooled, (x, i) => (x - mean.data[i]) / scale.data[i]);
  const size = standard.length;
  const odds = unknown.data.length ? dot(standard, unknown.data) + unknown.data[size] : 0;
  const best = Math.max(...logits);
  const place = logits.indexOf(best);
  const others = logSum([...logits].filter((_, i) => i !== place));
  const white = Array.from({ length: size }, (_, i) =>
    dot(standard, whitening.data.subarray(i * size, (i + 1) * size)),
  );
  const squares = Array.from({ length: centres.shape[0] }, (_, label) =>
    white.reduce((total, x, i) => total + (x - centres.data[label * size + i]) ** 2, 0),
  );
  return [best - others, best, -Math.sqrt(Math.min(...squares)), -odds];
}

function dot(values, others) {
  return values.reduce((total, x, i) => total + x * others[i], 0);
}

function logSum(values) {
  const largest = Math.max(...values);
  return largest + Math.log(values.reduce((total, x) => total + Math.exp(x - largest), 0));
}
