// Whisper's log-mel spectrogram, as its feature extractor in transformers computes it.

const SMALLEST = 1e-10; // of a mel's power, before its logarithm
const RANGE = 8; // powers of ten below the loudest; what is less is lifted to there

/**
 * Compute { values, n }: Float32Array, (n_mels * n) row by row, of n frames, for a waveform
 * Float32Array, (n_samples,). `filters` are (n_mels, n_fft / 2 + 1).
 */
export function logMel(waveform, { n_fft: size, hop, filters }) {
  const mirrored = withMirroredEnds(waveform, size / 2);
  const n = Math.floor(waveform.length / hop); // the transform's last frame is dropped
  const values = new Float32Array(filters.length * n);
  const transform = fourier(size);
  const power = new Float64Array(size / 2 + 1);
  let loudest = -Infinity;
  for (let frame = 0; frame < n; frame++) {
    transform(mirrored.subarray(frame * hop, frame * hop + size), power);
    for (let mel = 0; mel < filters.length; mel++) {
      let total = 0;
      for (let k = 0; k < power.length; k++) total += filters[mel][k] * power[k];
      const value = Math.log10(Math.max(total, SMALLEST));
      values[mel * n + frame] = value;
      loudest = Math.max(loudest, value);
    }
  }
  return { values: values.map((x) => (Math.max(x, loudest - RANGE) + 4) / 4), n };
}

function withMirroredEnds(waveform, n) {
  const mirrored = new Float32Array(waveform.length + 2 * n);
  mirrored.set(waveform, n);
  const last = waveform.length - 1;
  for (let i = 1; i <= n; i++) {
    mirrored[n - i] = waveform[i];
    mirrored[n + last + i] = waveform[last - i];
  }
  return mirrored;
}

/** Give a function that writes the power spectrum of a frame, under a periodic Hann window. */
function fourier(size) {
  const angles = Array.from({ length: size }, (_, i) => (2 * Math.PI * i) / size);
  const cos = Float64Array.from(angles, Math.cos);
  const sin = Float64Array.from(angles, Math.sin);
  const windowed = new Float64Array(size);
  return (frame, power) => {
    let loud = 0;
    for (let i = 0; i < size; i++) {
      windowed[i] = frame[i] * (0.5 - 0.5 * cos[i]);
      loud += Math.abs(windowed[i]);
    }
    if (loud === 0) return power.fill(0); // what fills a clip up
    for (let k = 0; k < power.length; k++) {
      let real = 0;
      let imaginary = 0;
      for (let i = 0, turn = 0; i < size; i++, turn = (turn + k) % size) {
        real += windowed[i] * cos[turn];
        imaginary -= windowed[i] * sin[turn];
      }
      power[k] = real * real + imaginary * imaginary;
    }
  };
}
