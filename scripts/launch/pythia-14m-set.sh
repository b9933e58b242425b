#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain if half of its tokens are sequences and their different symbols?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_mixed set-procedural 131 "$@"
