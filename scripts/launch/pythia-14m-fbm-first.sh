#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain if the model has learned digitised fractional Brownian motion first?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_first fbm 1056 "$@"
