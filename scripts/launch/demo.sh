#!/usr/bin/env bash
# The whole way in a few minutes: from raw text and a domain spec to a model that was trained on both and writes text.
# Everything lands in DEMO_DIR (default: demo). A second call reuses tokenizer and corpora and trains once more.
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

demo=${DEMO_DIR:-demo}

step() {
  printf '\n== %s\n' "$1" >&2
}

step "1. A tokenizer: a SentencePiece BPE of 4,096 pieces, from Python's own language reference, which is real English"
run python data_tools/train_tokenizer.py pydoc: --vocab_size 4096 --output_dir "$demo/tokenizer"

step "2. English: the same reference and numpy's docstrings as token ids, and every twentieth document for evaluation"
english=(python data_tools/tokenize_text.py pydoc:numpy --tokenizer "$demo/tokenizer" --validation_ratio 0.05)
run "${english[@]}" --split train --output_dir "$demo/corpora/english"
run "${english[@]}" --split validation --output_dir "$demo/corpora/english-validation"

step "3. An artificial language: a million tokens of sequences that are each followed by their copy, in three splits"
run python data_tools/synthesize.py --num_token 1M --data_config configs/domains/demo-identity.json \
  --output_dir "$demo/corpora/identity"

step "4. One document of it: what the model reads, and in colour what it has to predict"
run python data_tools/inspect_corpus.py "$demo/corpora/identity/train" --tokenizer "$demo/tokenizer" --num_samples 1

step "5. Training on both, half of the tokens each, with an evaluation on English before, between and after"
device=()
if ! nvidia-smi >/dev/null 2>&1; then
  device=(--use_cpu True)
  [[ -n ${INCLUDE:-} ]] || export NUM_GPUS=${NUM_GPUS:-2}
fi
[[ ${DRY_RUN:-0} == 1 ]] || rm -rf -- "$demo/run"
(pretrain --model_name_or_path configs/models/demo.json --tokenizer_name "$demo/tokenizer" --num_meta_lang_tokens 160 \
  --random_initialize True --deepspeed configs/ds/zero2.json --architecture causal --output_dir "$demo/run" \
  --data_paths "$demo/corpora/identity/train" "english=$demo/corpora/english" --data_ratios 0.5 0.5 \
  --nl_eval_data_path "english=$demo/corpora/english-validation" "$demo/corpora/identity/validation" --eval_on_start \
  --eval_strategy steps --eval_steps 250 --save_strategy steps --save_steps 500 --gather_weights True --learning_rate 2e-3 --per_device_train_batch_size 8 \
  --max_length 128 --max_steps 1000 --bf16 True "${device[@]}" --logging_steps 50 --report_to wandb --run_name demo "$@")

step "6. What the model writes, its line ends as spaces"
run python train/generate.py "$demo/run" --prompt "The" | tr '\n' ' '
echo
