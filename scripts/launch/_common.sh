# What all launchers keep equal. A launcher sources this file and calls `launch` with the flags that make it different;
# a flag given later wins, so `scripts/launch/<name>.sh --max_steps 20` shortens a run.
#
#   INCLUDE      GPUs as localhost:0-7, node1:0-3@node2:0-3 or, on this machine, 0-3,6 (default: all of them)
#   NUM_GPUS     their number, instead of INCLUDE
#   HOSTFILE     DeepSpeed's list of machines, for more than one
#   MASTER_PORT  where the ranks meet (default: a free port)
#   DATA_DIR     corpora (default: /data)
#   MODEL_DIR    a run is saved in a folder of its name here (default: /model/pretrain)
#   DRY_RUN      1 prints the command and starts nothing
#
# Everything runs in the root of the repository, with the programs of .venv if it is there: relative paths start there.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[[ -d .venv ]] && export PATH="$PWD/.venv/bin:$PATH"

data_dir=${DATA_DIR:-/data}
run_name=$(basename "$0" .sh)
checkpoint_dir=${MODEL_DIR:-/model/pretrain}/$run_name

# The run that every ablation is compared with, but for its data.
launch() {
  pretrain --model_name_or_path EleutherAI/pythia-14m --random_initialize True --resume_training False \
    --deepspeed configs/ds/zero2.json --architecture causal --output_dir "$checkpoint_dir" --save_strategy steps \
    --eval_on_start --save_steps 1000 --eval_strategy steps --eval_steps 1000 --gather_weights True \
    --learning_rate 5e-4 --nl_eval_data_path "$data_dir/wikitext-2" --per_device_train_batch_size 128 \
    --gradient_accumulation_steps 1 --max_length 1024 --max_steps 10000 --gradient_checkpointing False --bf16 True \
    --logging_steps 10 --report_to wandb --run_name "$run_name" "$@"
}

# train/pretrain.py with these flags, on the GPUs that the environment names. Nothing behind it is run.
pretrain() {
  local placement=()
  [[ -z ${INCLUDE:-} || -z ${NUM_GPUS:-} ]] || fail "set INCLUDE or NUM_GPUS, not both"
  [[ -z ${HOSTFILE:-} ]] || placement+=(--hostfile "$HOSTFILE")
  [[ -z ${NUM_GPUS:-} ]] || placement+=(--num_gpus "$NUM_GPUS")
  if [[ -n ${INCLUDE:-} ]]; then
    local include
    include=$(expanded "$INCLUDE") || exit 1
    placement+=(--include "$include")
  fi
  run deepspeed "${placement[@]}" --master_port "${MASTER_PORT:-$(free_port)}" train/pretrain.py "$@"
}

run() {
  if [[ ${DRY_RUN:-0} == 1 ]]; then
    python3 -c 'import shlex, sys; print(shlex.join(sys.argv[1:]))' "$@"
  elif [[ $1 == deepspeed ]]; then  # takes this shell's place: a signal to the launcher stops the run, with a checkpoint
    PYTHONPATH=src${PYTHONPATH:+:$PYTHONPATH} exec python3 -m metalang.training.supervision "$@"
  else
    "$@"
  fi
}

# localhost:0-3,6 or 0-3,6 -> localhost:0,1,2,3,6
expanded() {
  local nodes=$1
  [[ $nodes =~ ^[0-9,-]+$ ]] && nodes=localhost:$nodes
  PYTHONPATH=src python3 - "$nodes" <<'PYTHON'
import sys
from metalang.slot_ranges import expand
try:
    print(expand(sys.argv[1]))
except ValueError as error:
    sys.exit(f"INCLUDE: {error}")
PYTHON
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
}

fail() {
  echo "$run_name: $1" >&2
  exit 1
}
