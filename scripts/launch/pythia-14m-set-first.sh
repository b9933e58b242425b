#!/usr/bin/env bash
# What does pythia-14m-openwebtext.sh lose or gain from learning sequences followed by their different symbols first?
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

launch_first set-procedural 131 "$@"
