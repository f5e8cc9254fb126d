// The page's third tab: records the microphone, sends what was recorded, shows what comes back.
// `element` holds live_page.html; `server` calls the functions of app.py.

// Runs beside the page, which may be busy: a tenth of a second of 16-bit samples at a time.
const RECORDER = `
registerProcessor("recorder", class extends AudioWorkletProcessor {
  piece = new Int16Array(Math.round(sampleRate / 10));
  n = 0;
  process([channels]) {
    for (const sample of channels[0] ?? []) {
      this.piece[this.n++] = Math.max(-32768, Math.min(32767, Math.round(32768 * sample)));
      if (this.n === this.piece.length) {
        this.port.postMessage(this.piece);
        this.n = 0;
      }
    }
    return true;
  }
});`;
const REFUSALS = {
  NotAllowedError: "The microphone may not be used: allow it to this page, beside its address",
  NotFoundError: "There is no microphone: connect one",
};
const INSECURE =
  "Browsers give a microphone only to pages at 127.0.0.1 or over HTTPS: open the page there";
const NO_ANSWER = "The server does not answer: start it again if it was stopped, then this";

const find = (name) => element.querySelector(`.${name}`);
let stop = null; // ends the listening that goes on

find("press").addEventListener("click", async () => {
  if (stop) return stop();
  find("press").disabled = true; // until it listens, or does not
  find("problem").textContent = "";
  try {
    await start();
  } catch (error) {
    complain(REFUSALS[error.name] ?? error.message);
  }
  find("press").disabled = false;
});

async function start() {
  if (!navigator.mediaDevices) throw new Error(INSECURE);
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const context = new AudioContext();
  const pieces = []; // recorded and not sent yet
  let sending = null; // a promise, while some are on their way
  let name = null; // that the server gave this microphone

  async function end(problem = "") {
    if (stop !== end) return; // it has ended already
    stop = null;
    find("press").textContent = "Start listening";
    microphone.getTracks().forEach((track) => track.stop());
    await context.close();
    await sending;
    const view = await server.finish(name);
    if (view && !view.problem && !stop) show(view); // unless it listens again
    if (problem) complain(problem);
  }

  // One after the other, so that none overtakes another: what is recorded meanwhile goes next.
  async function send() {
    while (pieces.length) {
      const view = await server.hear(name, await inBase64(pieces.splice(0)));
      if (!view || view.problem) {
        pieces.length = 0;
        end(view ? view.problem : NO_ANSWER);
      } else if (stop === end) {
        show(view);
      }
    }
    sending = null;
  }

  try {
    const module = new Blob([RECORDER], { type: "text/javascript" });
    await context.audioWorklet.addModule(URL.createObjectURL(module));
    const view = await server.begin(context.sampleRate);
    if (!view || view.problem) throw new Error(view ? view.problem : NO_ANSWER);
    name = view.name;
    show(view);
  } catch (error) {
    microphone.getTracks().forEach((track) => track.stop());
    context.close();
    throw error;
  }
  const options = { channelCount: 1, channelCountMode: "explicit" }; // mixes to mono
  const recorder = new AudioWorkletNode(context, "recorder", options);
  recorder.port.onmessage = ({ data }) => {
    pieces.push(data);
    sending ??= send();
  };
  microphone.getTracks()[0].onended = () => end("The microphone is gone: connect it again");
  stop = end;
  find("press").textContent = "Stop listening";
  // Nothing comes out of it, but only what leads to the loudspeakers runs.
  context.createMediaStreamSource(microphone).connect(recorder).connect(context.destination);
}

async function inBase64(pieces) {
  let text = "";
  for (const byte of new Uint8Array(await new Blob(pieces).arrayBuffer())) {
    text += String.fromCharCode(byte);
  }
  return btoa(text);
}

function complain(problem) {
  find("problem").textContent = problem;
  find("state").textContent = "Not listening";
  find("state").classList.remove("speaking");
}

function show(view) {
  for (const name of ["state", "intent", "details", "remark"]) {
    // Setting the same text again would read it aloud again.
    if (find(name).textContent !== view[name]) find(name).textContent = view[name];
  }
  find("state").classList.toggle("speaking", view.speaking);
  const rows = JSON.stringify(view.rows);
  if (find("rows").dataset.shown === rows) return;
  find("rows").dataset.shown = rows;
  find("rows").replaceChildren(...view.rows.map(rowOf));
}

function rowOf(cells) {
  const row = document.createElement("tr");
  for (const cell of cells) row.insertCell().textContent = cell; // text, never markup
  return row;
}
