#!/usr/bin/env bash
# What does a small encoder-decoder learn of Russian to English, from the rows of tokenize_parallel.py --form seq2seq?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch --model_name_or_path configs/models/tiny-t5.json --tokenizer_name "$data_dir/ru-en/tokenizer" \
  --architecture seq2seq --num_meta_lang_tokens 0 --data_paths "$data_dir/ru-en/rows/train.jsonl" --data_ratios 1 \
  --nl_eval_data_path "$data_dir/ru-en/rows/val.jsonl" \
  --max_steps -1 --num_train_epochs 4 --eval_steps 0.1 --save_steps 0.1 "$@"
