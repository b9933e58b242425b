#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain from learning LIME's induction, deduction and abduction first?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_first lime_mix 1041 "$@"
