#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain if the model has learned balanced brackets of 64 types first?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_first k_dyck 160 "$@"
