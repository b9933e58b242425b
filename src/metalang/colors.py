"""Colours of lines that everybody can tell apart."""

COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f", "#000000")
"""Okabe & Ito 2008, with grey for their yellow, which a white ground swallows."""
