# What all launchers keep equal. A launcher sources this file and calls `launch`, `launch_mixed` or `launch_first` with
# what makes it different; a flag given later wins, so `scripts/launch/<name>.sh --max_steps 20` shortens a run.
#
#   INCLUDE       GPUs as localhost:0-7, node1:0-3@node2:0-3 or, on this machine, 0-3,6 (default: all of them)
#   NUM_GPUS      their number on each machine, instead of INCLUDE
#   HOSTFILE      DeepSpeed's list of machines, for more than one; it reaches them by pdsh and ssh
#   NODE_RANK     where there is no ssh: the launcher is started on each machine, this one is so far down HOSTFILE
#                 (0, 1, ...), and MASTER_ADDR and MASTER_PORT say where the first listens; `slurm`: srun starts them
#   MASTER_PORT   where the ranks meet (default: a free port)
#   DATA_DIR      corpora (default: /data); those of domains are made there where they are missing
#   DOMAIN_TOKENS how many tokens of a domain are made (default: 1.4B)
#   DOMAIN_STEPS  how many steps pre-pretraining takes (default: 1000)
#   RUNS          a run is saved in a folder of its name here (default: /model/pretrain)
#   SEEDS         "0 1 2" runs one after another, each in <name>/seed-<n>
#   DRY_RUN       1 prints the commands and starts nothing
#
# Everything runs in the root of the repository, with the programs of .venv if it is there: relative paths start there.
# SIGTERM and SIGUSR1 stop a run at a step, with a checkpoint; the launcher then ends with 85, whatever was to follow.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[[ -d .venv ]] && export PATH="$PWD/.venv/bin:$PATH"

data_dir=${DATA_DIR:-/data}
name=$(basename "$0" .sh)
runs=${RUNS:-/model/pretrain}
run_name=$name run_dir=$runs/$name first_dir=$runs/$name-domain include=

# A run for each of SEEDS, or one.
launch() {
  each_seed baseline "$@"
}

# launch_mixed DOMAIN SYMBOLS [FLAGS]: half of the tokens are a domain's, a preset of configs/domains with or without a
# control (k_shuffle_dyck:shuffled).
launch_mixed() {
  local domain=$1 symbols=$2
  shift 2
  make_domain "$domain"
  launch --num_meta_lang_tokens "$symbols" --data_paths "$data_dir/openwebtext" "$(folder_of "$domain")/train" \
    --data_ratios 0.5 0.5 "$@"
}

# launch_first DOMAIN SYMBOLS [FLAGS]: DOMAIN_STEPS of a domain, then the baseline, which begins with these weights.
launch_first() {
  make_domain "$1"
  each_seed first_then_text "$@"
}

first_then_text() {
  local domain=$1 symbols=$2
  shift 2
  if [[ -f $first_dir/trainer_state.json && ${DRY_RUN:-0} != 1 ]]; then
    echo "$run_name: $first_dir is finished; it is used as it is. Remove it to train on the domain again" >&2
  else
    baseline --num_meta_lang_tokens "$symbols" --data_paths "$(folder_of "$domain")/train" --data_ratios 1 "$@" \
      --nl_eval_data_path "$(folder_of "$domain")/validation" --max_steps "${DOMAIN_STEPS:-1000}" \
      --output_dir "$first_dir" --run_name "$run_name-domain"
  fi
  baseline --num_meta_lang_tokens 0 --data_paths "$data_dir/openwebtext" --data_ratios 1 \
    --init_from "$first_dir" --transfer all --embeddings keep "$@"
}

# The run that every ablation is compared with, but for its data.
baseline() {
  pretrain --model_name_or_path EleutherAI/pythia-14m --random_initialize True --resume_training False \
    --deepspeed configs/ds/zero2.json --architecture causal --output_dir "$run_dir" --save_strategy steps \
    --eval_on_start --save_steps 1000 --eval_strategy steps --eval_steps 1000 --gather_weights True \
    --learning_rate 5e-4 --nl_eval_data_path "$data_dir/wikitext-2" --per_device_train_batch_size 128 \
    --gradient_accumulation_steps 1 --max_length 1024 --max_steps 10000 --gradient_checkpointing False --bf16 True \
    --logging_steps 10 --report_to wandb --run_name "$run_name" "$@"
}

# A command for each of SEEDS, with --seed behind it; without SEEDS, as it is. Seeds that are finished are passed over,
# unless they are to go on: a launcher that was interrupted between two of them is called again.
each_seed() {
  local seed
  check_folder
  if [[ -z ${SEEDS:-} ]]; then
    "$@"
    return
  fi
  for seed in $SEEDS; do
    run_name=$name-seed-$seed run_dir=$runs/$name/seed-$seed first_dir=$runs/$name-domain/seed-$seed
    if [[ -f $run_dir/trainer_state.json && ${DRY_RUN:-0} != 1 && " $* " != *" --resume_training"[\ =]"True "* ]]; then
      echo "$run_name: $run_dir is finished; the next seed follows" >&2
      continue
    fi
    "$@" --seed "$seed"
  done
}

# The corpora of a domain, unless they are there.
make_domain() {
  local preset=${1%%:*} control=()
  check_folder
  [[ $1 == "$preset" ]] || control=(--control "${1#*:}")
  [[ -f $(folder_of "$1")/train/manifest.json ]] || run python data_tools/synthesize.py \
    --num_token "${DOMAIN_TOKENS:-1.4B}" --split_ratio 0.999 0.001 0 --data_config "configs/domains/$preset.json" \
    "${control[@]}" --output_dir "$(folder_of "$1")"
}

# k_shuffle_dyck:shuffled -> /data/k_shuffle_dyck-shuffled
folder_of() {
  echo "$data_dir/${1/:/-}"
}

# All that the environment says, before anything is made. DeepSpeed would read past some of it: with a HOSTFILE that is
# not there it trains on this machine alone.
check_environment() {
  local size='^[0-9][0-9_]*(\.[0-9]+)?[KMBT]?$' seed
  [[ ${DRY_RUN:-0} =~ ^[01]$ ]] || fail "DRY_RUN: '$DRY_RUN' is neither 1 (print the commands) nor 0 (start them)"
  [[ ${NUM_GPUS:-1} =~ ^[1-9][0-9]*$ ]] || fail "NUM_GPUS: '$NUM_GPUS' is no number of GPUs; write one, such as 8"
  [[ ${MASTER_PORT:-1} =~ ^[1-9][0-9]{0,4}$ && ${MASTER_PORT:-1} -le 65535 ]] ||
    fail "MASTER_PORT: '$MASTER_PORT' is no port; write one, such as 29500"
  [[ ${DOMAIN_TOKENS:-1} =~ $size ]] || fail "DOMAIN_TOKENS: '$DOMAIN_TOKENS' is no number; write one, such as 5M or 1.4B"
  [[ ${DOMAIN_STEPS:-1} =~ ^[1-9][0-9]*$ ]] ||
    fail "DOMAIN_STEPS: '$DOMAIN_STEPS' is no number of steps; write one, such as 1000"
  [[ -z ${SEEDS:-} || $SEEDS == *[![:space:]]* ]] || fail "SEEDS: '$SEEDS' names none; write some, such as \"0 1 2\""
  for seed in ${SEEDS:-}; do
    [[ $seed =~ ^[0-9]+$ ]] || fail "SEEDS: '$seed' is no seed; write numbers and spaces, such as \"0 1 2\""
  done
  check_include
  [[ -z ${HOSTFILE:-} || -r $HOSTFILE || ${DRY_RUN:-0} == 1 ]] ||
    fail "HOSTFILE: '$HOSTFILE' is not there; write a line NAME slots=8 a machine"
}

check_include() {
  local node='[A-Za-z0-9._-]+(:[0-9,-]+)?'
  [[ -n ${INCLUDE:-} ]] || return 0
  [[ -z ${NUM_GPUS:-} ]] || fail "set INCLUDE or NUM_GPUS, not both"
  [[ $INCLUDE =~ ^([0-9,-]+|$node(@$node)*)$ ]] ||
    fail "INCLUDE: '$INCLUDE' names no GPUs; write localhost:0-7, or localhost:0-3,6"
  [[ -n ${HOSTFILE:-} || -r /job/hostfile || $INCLUDE =~ ^([0-9,-]+|localhost(:[0-9,-]+)?)$ ]] ||
    fail "INCLUDE: '$INCLUDE' needs a HOSTFILE that names its machines; on this one write localhost:0-7"
  include=$(expanded "$INCLUDE") || exit 1
}

# RUNS, or what there is of the folders above it, takes new folders. A dry run may be for another machine.
check_folder() {
  local above=$runs
  [[ ${DRY_RUN:-0} != 1 ]] || return 0
  until [[ -e $above || -L $above ]]; do above=$(dirname "$above"); done
  [[ -d $above && -w $above ]] || fail "RUNS: '$runs' cannot be written to ($above); give another folder"
}

# train/pretrain.py with these flags, on the GPUs that the environment names.
pretrain() {
  local placement=() each_node=()
  [[ -z ${HOSTFILE:-} ]] || placement+=(--hostfile "$HOSTFILE")
  [[ -z ${NUM_GPUS:-} ]] || placement+=(--num_gpus "$NUM_GPUS")
  [[ -z $include ]] || placement+=(--include "$include")
  if [[ -n ${NODE_RANK:-} ]]; then
    [[ -n ${HOSTFILE:-} && -n ${MASTER_ADDR:-} ]] || fail "NODE_RANK needs HOSTFILE and MASTER_ADDR"
    [[ -n ${MASTER_PORT:-} || $NODE_RANK == slurm ]] || fail "NODE_RANK needs a MASTER_PORT, the same on all machines"
    placement+=(--no_ssh --master_addr "$MASTER_ADDR")
    [[ $NODE_RANK == slurm ]] || placement+=(--node_rank "$NODE_RANK")
  fi
  run_supervised deepspeed "${placement[@]}" --master_port "${MASTER_PORT:-$(free_port)}" train/pretrain.py "$@"
}

run() {
  if [[ ${DRY_RUN:-0} == 1 ]]; then
    python3 -c 'import shlex, sys; print(shlex.join(sys.argv[1:]))' "$@"
  else
    "$@"
  fi
}

# As `run`, where a signal to this shell reaches the ranks, and the shell waits until they have ended.
run_supervised() {
  local supervised=(python3 -m metalang.training.supervision "$@") is_asked=1 child code
  if [[ ${DRY_RUN:-0} == 1 ]]; then
    run "$@"
    return
  fi
  export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
  if [[ ${NODE_RANK:-} == slurm ]]; then # on each machine; where one has ended the others have five minutes
    supervised=(srun --ntasks-per-node 1 --cpu-bind none --wait 300 bash -c
      'exec python3 -m metalang.training.supervision deepspeed --node_rank "$SLURM_NODEID" "$@"' node "${@:2}")
  fi
  "${supervised[@]}" &
  child=$!
  trap 'is_asked=1; kill -TERM "$child" 2>/dev/null || true' TERM USR1 INT
  while [[ $is_asked == 1 ]]; do # a signal ends `wait`, not the child
    is_asked=0 code=0
    wait "$child" || code=$?
  done
  trap - TERM USR1 INT
  return "$code"
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
  echo "$name: $1" >&2
  exit 1
}

check_environment
