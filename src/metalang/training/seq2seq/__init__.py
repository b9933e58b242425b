"""Pairs of what an encoder reads and what a decoder says: rows of a prepared file, or documents of a corpus."""
