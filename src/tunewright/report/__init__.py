"""Scores, verdict and report of runs, read from their folders. No torch, nothing is measured here."""
