"""Scores, confidence intervals, paired differences and statistics of curves: pure functions, no model and no torch."""
