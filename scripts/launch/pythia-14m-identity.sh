#!/usr/bin/env bash
# What does the baseline (pythia-14m-openwebtext.sh) lose or gain if half of its tokens are the identity language?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch --num_meta_lang_tokens 10032 \
  --data_paths "$data_dir/openwebtext" "$data_dir/identity/train" --data_ratios 0.5 0.5 "$@"
