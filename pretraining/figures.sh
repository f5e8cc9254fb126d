#!/bin/sh
# Take every figure of README.md and docs/evaluation.md again, into benchmarks/results/: about two and a half hours on two
# cores. Finished runs are kept.
#
#   sh pretraining/figures.sh free-spoken-digit-dataset wake-word-benchmark
#
# Both folders have a metadata.csv from dataset/make_metadata.py; the second one of left-out clips only (--only).
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
  python -m speech_intent.train --data "$2" --encoder $encoder --protocol kfold --epochs 6 --batch-size 16 \
    --output-dir runs/figures/commands-$encoder
  cp runs/figures/commands-$encoder/results.json $results/commands-$encoder.json
done
python benchmarks/out_of_scope.py --output-dir runs/figures/out-of-scope
cp runs/figures/out-of-scope/results.json $results/out-of-scope.json
python benchmarks/interval_coverage.py --output $results/coverage.json
python benchmarks/bundled_svm.py --output $results/bundled-svm.json
python -m speech_intent.evaluate --model models/moonshine-tiny-scooter --robustness --output-dir runs/figures/scooter
cp runs/figures/scooter/robustness.csv $results/robustness.csv
python benchmarks/encoder_cost.py --output $results/cost.json
python pretraining/ship.py
python benchmarks/tables.py
