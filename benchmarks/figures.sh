#!/bin/sh
# Take every figure of README.md and docs/evaluation.md again, into benchmarks/results/: several hours on two cores.
# Finished runs are kept.
#
#   sh benchmarks/figures.sh free-spoken-digit-dataset wake-word-benchmark
#
# Both folders have a metadata.csv from dataset/make_metadata.py.
set -e
cd "$(dirname "$0")/.."
results=benchmarks/results
runs=runs/figures

curve() { # NAME, then options
  name=$1
  shift
  python benchmarks/learning_curve.py --encoder "$name" "$@" --output-dir "$runs/curve-$name"
  cp "$runs/curve-$name/results.json" "$results/curve-$name.json"
}

people() { # NAME, then options
  name=$1
  shift
  python -m speech_intent.train "$@" --batch-size 16 --output-dir "$runs/$name"
  cp "$runs/$name/results.json" "$results/$name.json"
}

once() { # NAME, then the module that leaves a metrics.json, and its options
  name=$1
  shift
  [ -e "$runs/$name/metrics.json" ] || python -m "$@" --output-dir "$runs/$name"
}

people digits-moonshine --data "$1" --protocol leave-one-speaker-out --epochs 6
people digits-moonshine-frozen --data "$1" --protocol leave-one-speaker-out --freeze encoder
people commands-moonshine-frozen --data "$2" --protocol kfold --freeze encoder
curve moonshine --clips 12 --draws 5
curve moonshine --clips 0
curve random --clips 0
once bundled-small speech_intent.train --data bundled --encoder small --resume
cp $runs/bundled-small/metrics.json $results/bundled-small.json
python benchmarks/bundled_svm.py --output $results/bundled-svm.json
once scooter speech_intent.evaluate --model models/moonshine-tiny-scooter --robustness
cp $runs/scooter/robustness.csv $results/robustness.csv
python benchmarks/out_of_scope.py --output-dir $runs/out-of-scope
cp $runs/out-of-scope/results.json $results/out-of-scope.json
python benchmarks/interval_coverage.py --output $results/coverage.json
python benchmarks/encoder_cost.py --output $results/cost.json
python benchmarks/tables.py
