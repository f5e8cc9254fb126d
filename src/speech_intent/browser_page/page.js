// The page: records or takes a file, asks the worker, and shows what it answers.

import { ClipError, decode } from "./audio.js";

const REFUSALS = {
  NotAllowedError: "The microphone may not be used: allow it to this page, beside its address",
  NotFoundError: "There is no microphone: connect one",
};
const INSECURE =
  "Browsers give a microphone only to pages at 127.0.0.1 or over HTTPS: open the page there";
const LONGEST = 60_000; // milliseconds of a recording
const find = (name) => document.querySelector(`.${name}`);
const chooser = document.querySelector("input");

// The worker, as a function that is asked and answers

const worker = new Worker("worker.js", { type: "module" });
const waiting = new Map(); // number of a question -> who asked it
let asked = 0;

function ask(question) {
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject });
    worker.postMessage({ number: asked, ...question });
  });
}

worker.onmessage = ({ data: { number, share, answer, problem } }) => {
  if (share !== undefined) {
    document.querySelector("progress").value = share;
    return;
  }
  const { resolve, reject } = waiting.get(number);
  waiting.delete(number);
  problem ? reject(new Error(problem)) : resolve(answer);
};
worker.onerror = () => complain("This browser is too old to run the model: update it");

// The model

let model = null;

async function start() {
  const response = await fetch("model.json");
  if (!response.ok) throw new Error(`model.json is not there (${response.status})`);
  model = await response.json();
  document.title = model.title;
  find("title").textContent = model.title;
  find("about").textContent = `Intents: ${model.labels.join(", ")}. ${model.about}`;
  await ask({ model });
  find("loading").hidden = true;
  find("record").disabled = chooser.disabled = false;
}

start().catch((error) => complain(`The model cannot be loaded: ${error.message}`));

// Asking

let latest = 0; // number of the clip that is shown

async function classify(blob) {
  const number = ++latest;
  find("problem").textContent = "";
  try {
    const { waveform, warning } = await decode(blob, model.sampling_rate, model.min_seconds);
    const begun = performance.now();
    const answer = await ask({ waveform });
    if (number === latest) show(answer, waveform, warning, performance.now() - begun, blob);
  } catch (error) {
    if (number !== latest) return;
    find("answer").hidden = true;
    complain(error instanceof ClipError ? error.message : `No answer: ${error.message}`);
  }
}

chooser.addEventListener("change", () => {
  if (chooser.files.length) classify(chooser.files[0]);
  chooser.value = ""; // so that the same file may be chosen again
});

let recorder = null;

find("record").addEventListener("click", async () => {
  if (recorder) return recorder.stop();
  find("problem").textContent = "";
  find("record").disabled = true;
  try {
    await record();
  } catch (error) {
    complain(REFUSALS[error.name] ?? error.message);
  }
  find("record").disabled = false;
});

async function record() {
  if (!navigator.mediaDevices) throw new Error(INSECURE);
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const pieces = [];
  recorder = new MediaRecorder(microphone);
  const timer = setTimeout(() => recorder?.stop(), LONGEST);
  recorder.ondataavailable = ({ data }) => pieces.push(data);
  recorder.onstop = () => {
    clearTimeout(timer);
    microphone.getTracks().forEach((track) => track.stop());
    recorder = null;
    find("record").textContent = "Record";
    find("record").classList.remove("recording");
    classify(new Blob(pieces, { type: pieces[0]?.type }));
  };
  recorder.start();
  find("record").textContent = "Stop";
  find("record").classList.add("recording");
}

// Showing

function show({ scores, reason }, waveform, warning, milliseconds, blob) {
  const [label, score] = scores[0];
  const seconds = waveform.length / model.sampling_rate;
  find("intent").textContent = reason ? "unknown" : label;
  const why = reason ? `${reason}; closest is ${label}, ` : "";
  find("details").textContent =
    `${why}score ${score.toFixed(3)}, ${seconds.toFixed(2)} s of audio answered in ` +
    `${milliseconds.toFixed(0)} ms`;
  find("warning").textContent = warning;
  find("scores").replaceChildren(...scores.map(row));
  URL.revokeObjectURL(find("player").src);
  find("player").src = URL.createObjectURL(blob);
  draw(waveform);
  find("answer").hidden = false;
}

function row([label, score]) {
  const meter = document.createElement("meter");
  meter.value = score;
  const line = document.createElement("tr");
  line.dataset.score = score; // with every digit
  for (const content of [label, score.toFixed(3), meter]) {
    line.insertCell().append(content);
  }
  return line;
}

function draw(waveform) {
  const canvas = find("waveform");
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  for (let x = 0; x < width; x++) {
    const start = Math.floor((x * waveform.length) / width);
    const end = Math.max(start + 1, Math.floor(((x + 1) * waveform.length) / width));
    const peak = waveform.subarray(start, end).reduce((most, y) => Math.max(most, Math.abs(y)), 0);
    const tall = Math.max(1, Math.min(1, peak) * height);
    context.fillRect(x, (height - tall) / 2, 1, tall);
  }
}

function complain(problem) {
  find("problem").textContent = problem;
}
