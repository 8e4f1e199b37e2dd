"""Scores of a model on held-out rows: losses, generated answers, predicted labels."""
