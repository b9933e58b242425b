#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain if the model has learned the states of cellular automaton 110 first?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_first eca 288 "$@"
