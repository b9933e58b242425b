#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain if half of its tokens are digitised fractional Brownian motion?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_mixed fbm 1056 "$@"
