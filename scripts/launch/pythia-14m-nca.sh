#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain if half of its tokens are the states of neural cellular automata?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_mixed nca 10034 "$@"
