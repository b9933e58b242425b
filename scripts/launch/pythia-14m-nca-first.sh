#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain from learning the states of neural cellular automata first?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_first nca 10034 "$@"
