// Answers in a thread of its own, so that the page goes on while the model computes.

import { Classifier } from "./classifier.js";

let classifier = null;

self.onmessage = async ({ data: { number, model, waveform } }) => {
  try {
    if (model) {
      classifier = await Classifier.load(model, (share) => self.postMessage({ share }));
      self.postMessage({ number, answer: null });
    } else {
      self.postMessage({ number, answer: await classifier.predict(waveform) });
    }
  } catch (error) {
    self.postMessage({ number, problem: error.message });
  }
};
