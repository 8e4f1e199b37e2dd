"""Rows to examples: reading, recognising, checking, encoding. Lists of ints, no tensors, no torch."""
