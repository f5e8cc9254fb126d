#!/bin/sh
# Take every figure of README.md again, into benchmarks/results/: about two hours on two cores. Finished runs are kept.
#
#   sh pretraining/figures.sh free-spoken-digit-dataset wake-word-benchmark
#
# Both folders have a metadata.csv from benchmarks/make_metadata.py; the second one of left-out clips only (--only).
set -e
cd "$(dirname "$0")/.."
results=benchmarks/results
mkdir -p "$results"
for encoder in small random; do
  python benchmarks/learning_curve.py --encoder $encoder --clips 12 --draws 5 --output-dir runs/figures/curve-$encoder
  python benchmarks/learning_curve.py --encoder $encoder --clips 25 50 0 --output-dir runs/figures/curve-$encoder
  cp runs/figures/curve-$encoder/results.json $results/curve-$encoder.json
  python -m speech_intent.train --data "$1" --encoder $encoder --protocol leave-one-speaker-out --epochs 6 \
    --batch-size 16 --output-dir runs/figures/digits-$encoder
  cp runs/figures/digits-$encoder/results.json $results/digits-$encoder.json
done
python -m speech_intent.train --data "$2" --protocol kfold --epochs 6 --batch-size 16 \
  --output-dir runs/figures/commands-small
cp runs/figures/commands-small/results.json $results/commands-small.json
python benchmarks/bundled_svm.py --output $results/bundled-svm.json
python -m speech_intent.evaluate --model models/wav2vec2-small-scooter --robustness --output-dir runs/figures/scooter
cp runs/figures/scooter/robustness.csv $results/robustness.csv
python benchmarks/encoder_cost.py --output $results/cost.json
python pretraining/ship.py
