#!/usr/bin/env bash
# Does pre-pretraining help? Three ablations of three seeds on any machine, from raw text to the page that compares them:
# English alone; k-Shuffle-Dyck first; the same rows shuffled first, which have its symbols and none of its structure.
# Everything lands in DEMO_DIR (default: demo); what is there already is used again.
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

demo=${DEMO_DIR:-demo} symbols=160 page=${PAGE_DIR:-$demo/comparison}
if ! nvidia-smi >/dev/null 2>&1; then
  device=(--use_cpu True)
  [[ -n ${INCLUDE:-} ]] || export NUM_GPUS=${NUM_GPUS:-2}
fi

# train DIR FLAGS: a run of one seed, unless it is finished.
train() {
  local dir=$1
  shift
  [[ -f $dir/trainer_state.json ]] || pretrain --model_name_or_path configs/models/demo.json \
    --tokenizer_name "$demo/tokenizer" --num_meta_lang_tokens "$symbols" --random_initialize True \
    --deepspeed configs/ds/zero2.json --bf16 True "${device[@]}" --max_length 128 --per_device_train_batch_size 8 \
    --learning_rate 2e-3 --warmup_steps 20 --save_strategy no --logging_steps 5 --eval_on_start --eval_strategy steps \
    --output_dir "$dir" --report_to none --resume_training False "$@"
}

english() {
  train "$1" --data_paths "english=$demo/corpora/english" --data_ratios 1 --max_steps 400 --eval_steps 25 \
    --nl_eval_data_path "english=$demo/corpora/english-validation" "${@:2}"
}

dyck() {
  train "$1" --data_paths "dyck=$demo/corpora/$2/train" --data_ratios 1 --max_steps 100 --eval_steps 100 \
    --nl_eval_data_path "dyck=$demo/corpora/$2/validation" "${@:3}"
}

run python data_tools/train_tokenizer.py pydoc: --vocab_size 4096 --output_dir "$demo/tokenizer"
tokenize=(python data_tools/tokenize_text.py pydoc:numpy --tokenizer "$demo/tokenizer" --validation_ratio 0.05)
run "${tokenize[@]}" --split train --output_dir "$demo/corpora/english"
run "${tokenize[@]}" --split validation --output_dir "$demo/corpora/english-validation"
rows=(python data_tools/synthesize.py --num_token 1M --data_config configs/domains/k_shuffle_dyck.json)
run "${rows[@]}" --output_dir "$demo/corpora/k-shuffle-dyck"
run "${rows[@]}" --control shuffled --output_dir "$demo/corpora/k-shuffle-dyck-shuffled"

for seed in ${SEEDS:-0 1 2}; do
  english "$demo/runs/english/seed-$seed" --seed "$seed"
  for first in k-shuffle-dyck k-shuffle-dyck-shuffled; do
    dyck "$demo/runs/$first-alone/seed-$seed" "$first" --seed "$seed"
    english "$demo/runs/$first-first/seed-$seed" --seed "$seed" --init_from "$demo/runs/$first-alone/seed-$seed"
  done
done
run python train/compare.py "$demo"/runs/english "$demo"/runs/k-shuffle-dyck{,-shuffled}-first \
  --baseline "$demo/runs/english" --output_dir "$page" --title "k-Shuffle-Dyck before English, on two CPU cores"
