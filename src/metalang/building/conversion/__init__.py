"""Corpora in the formats of other programs, and their files as corpora: `exported`, `imported`."""
