#!/usr/bin/env bash
# The baseline: what does pythia-14m learn from English alone?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch --num_meta_lang_tokens 0 --data_paths "$data_dir/openwebtext" --data_ratios 1 "$@"
