#!/bin/sh
# Take every figure of README.md, docs/evaluation.md and docs/sentences.md again, into benchmarks/results/: several hours on two cores.
# Finished runs are kept.
#
#   sh benchmarks/figures.sh free-spoken-digit-dataset wake-word-benchmark SENTENCES.csv WORDS
#
# The first two folders have a metadata.csv from dataset/make_metadata.py. SENTENCES.csv has a column
# text, with sentences about other things; WORDS is any folder of people's other words.
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
  python -m speech_intent.train "$@" --unknown none --batch-size 16 --output-dir "$runs/$name"
  cp "$runs/$name/results.json" "$results/$name.json"
}

once() { # NAME, then the module that leaves a metrics.json, and its options
  name=$1
  shift
  [ -e "$runs/$name/metrics.json" ] || python -m "$@" --output-dir "$runs/$name"
}

keep() { # metrics.json, file: what a table shows of it, without the paths of this machine
  python - "$1" "$2" << 'END'
import json
import sys

metrics = json.load(open(sys.argv[1], encoding="utf-8"))
names = ("n", "correct", "accuracy", "accuracy_interval", "f1_macro", "split", "seed", "synthetic")
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump({name: metrics[name] for name in names}, file, indent=1)
    file.write("\n")
END
}

said() { # NAME, folder of people: sentences alone, then what it takes to score people
  name=$1
  data=$2
  python -m speech_intent.synthesize "benchmarks/sentences/$name.csv" --output-dir "$runs/said/$name"
  for way in "-frozen --freeze encoder" ""; do
    # shellcheck disable=SC2086  # a name's end, then options
    set -- $way
    end=${1:-}
    [ $# -eq 0 ] || shift
    once "said-$name$end" speech_intent.train --data "$runs/said/$name" --unknown none --resume "$@"
    model=$runs/said-$name$end/model
    once "said-$name$end-people" speech_intent.evaluate --model "$model" --data "$data" --split all
    keep "$runs/said-$name$end-people/metrics.json" "$results/sentences-$name$end.json"
  done
}

few() { # NAME, folder of people or "bundled", then options
  name=$1
  data=$2
  said=$3
  shift 3
  python benchmarks/few_clips.py --data "$data" --add "$said" "$@" --output-dir "$runs/few-$name"
  cp "$runs/few-$name/results.json" "$results/few-$name.json"
}

people digits-moonshine --data "$1" --protocol leave-one-speaker-out --epochs 6
people digits-moonshine-frozen --data "$1" --protocol leave-one-speaker-out --freeze encoder
people commands-moonshine-frozen --data "$2" --protocol kfold --freeze encoder
curve moonshine --clips 12 --draws 5
curve moonshine --clips 0
curve random --clips 0
once bundled-small speech_intent.train --data bundled --encoder small --unknown none --resume
cp $runs/bundled-small/metrics.json $results/bundled-small.json
python benchmarks/bundled_svm.py --output $results/bundled-svm.json
once scooter speech_intent.evaluate --model models/moonshine-tiny-scooter --robustness
cp $runs/scooter/robustness.csv $results/robustness.csv
python benchmarks/out_of_scope.py --texts "$3" --output-dir $runs/out-of-scope
cp $runs/out-of-scope/results.json $results/out-of-scope.json
python benchmarks/unknown_people.py "$2" --others digits="$1" words="$4" --output $results/unknown-people.json
python benchmarks/unknown_table.py
python benchmarks/interval_coverage.py --output $results/coverage.json
python benchmarks/encoder_cost.py --output $results/cost.json
said digits "$1"
said commands "$2"
python benchmarks/voice_gap.py --data "$1" --said $runs/said/digits --output $results/voice-gap.json
few digits "$1" $runs/said/digits
python -m speech_intent.synthesize benchmarks/sentences/scooter.csv --output-dir $runs/said/scooter
few bundled bundled $runs/said/scooter --clips 5 --draws 1 --fine-tune
python benchmarks/add_intent.py --freeze encoder --output-dir $runs/add-intent-frozen
cp $runs/add-intent-frozen/results.json $results/add-intent-frozen.json
python benchmarks/add_intent.py --output-dir $runs/add-intent
cp $runs/add-intent/results.json $results/add-intent.json
python benchmarks/label_noise.py --digits "$1" --commands "$2" --output $results/label-noise.json
python benchmarks/label_noise_table.py
python benchmarks/sentence_tables.py
python benchmarks/tables.py
