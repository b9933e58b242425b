#!/usr/bin/env bash
# What does masked diffusion learn from the tiny template data, when what is masked grows harder in three stages?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

diffusion() {
  pretrain --config configs/runs/tiny.yaml --deepspeed configs/ds/zero2.json --architecture masked_diffusion \
    --curriculum importance --output_dir "$run_dir" --run_name "$run_name" "$@"
}
each_seed diffusion "$@"
