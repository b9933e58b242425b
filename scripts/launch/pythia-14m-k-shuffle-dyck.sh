#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain if half of its tokens are interleaved brackets of 64 types?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_mixed k_shuffle_dyck 160 "$@"
