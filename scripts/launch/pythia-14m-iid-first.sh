#!/usr/bin/env bash
# What is left of pythia-14m-k-shuffle-dyck-first.sh if its symbols are independent, as frequent as they were?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_first k_shuffle_dyck:iid_unigram 160 "$@"
