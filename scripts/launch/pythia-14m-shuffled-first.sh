#!/usr/bin/env bash
# What is left of pythia-14m-k-shuffle-dyck-first.sh if its symbols are shuffled in their rows?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_first k_shuffle_dyck:shuffled 160 "$@"
