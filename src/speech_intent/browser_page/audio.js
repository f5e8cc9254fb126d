// A file or a recording becomes a mono waveform at a model's sampling rate, as audio.py does it.

const SILENT_PEAK = 1e-3; // -60 dB full scale
const CANCELLED = 0.1; // of the energy that the mean of unrelated channels has: -10 dB

/** What is wrong with a clip, in words for whoever chose it. */
export class ClipError extends Error {}

/**
 * Decode a Blob: { waveform, warning }. The waveform is a Float32Array, (n_samples,), at
 * `samplingRate` Hz; the warning says what makes an answer mean nothing, or is "".
 * Throws ClipError for what this browser cannot decode, or what is shorter than `minSeconds`.
 */
export async function decode(blob, samplingRate, minSeconds) {
  const context = new OfflineAudioContext(1, 1, samplingRate); // decodes to its own rate
  let buffer;
  try {
    buffer = await context.decodeAudioData(await blob.arrayBuffer());
  } catch {
    throw new ClipError("This browser cannot decode it: save it as WAV, MP3 or M4A");
  }
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, i) =>
    buffer.getChannelData(i),
  );
  if (buffer.length < Math.floor(minSeconds * samplingRate)) {
    throw new ClipError(`It lasts less than ${1000 * minSeconds} ms: record a longer clip`);
  }
  const waveform = mixed(channels);
  if (!waveform.every(Number.isFinite)) {
    throw new ClipError("It has samples that are no numbers: export it again as 16-bit PCM");
  }
  return { waveform, warning: complaint(waveform, channels) };
}

function mixed(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => sum(channels.map((c) => c[i])) / channels.length);
}

function complaint(waveform, channels) {
  const unrelated = sum(channels.map(energy)) / channels.length ** 2;
  if (unrelated > waveform.length * SILENT_PEAK ** 2 && energy(waveform) < CANCELLED * unrelated) {
    return "Its channels cancel each other out: export one of them, and use that";
  }
  const peak = waveform.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return peak < SILENT_PEAK ? "It is silent: the answer means nothing" : "";
}

/** Cut a waveform into windows as audio.py does; the last one ends where the clip ends. */
export function windows(waveform, longest) {
  if (waveform.length <= longest) return [waveform];
  const parts = [];
  for (let start = 0; waveform.length - start > longest; start += longest) {
    parts.push(waveform.subarray(start, start + longest));
  }
  parts.push(waveform.subarray(waveform.length - longest));
  return parts;
}

export function energy(waveform) {
  return waveform.reduce((total, x) => total + x * x, 0);
}

export function sum(values) {
  return values.reduce((total, x) => total + x, 0);
}
