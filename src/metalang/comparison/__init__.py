"""Runs beside each other: what differs between them, and what came of it."""

from metalang.comparison.report import compare

__all__ = ["compare"]
