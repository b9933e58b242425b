#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain if half of its tokens are the identity language?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_mixed identity 10032 "$@"
