#!/usr/bin/env bash
# What is left of pythia-14m-k-shuffle-dyck.sh if its symbols are shuffled in their rows?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_mixed k_shuffle_dyck:shuffled 160 "$@"
