#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain if half of its tokens are LIME's induction, deduction and abduction?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_mixed lime_mix 1041 "$@"
