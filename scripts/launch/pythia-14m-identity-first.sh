#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain if the model has learned the identity language first?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_first identity 10032 "$@"
