#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain if the model has learned interleaved brackets of 64 types first?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_first k_shuffle_dyck 160 "$@"
