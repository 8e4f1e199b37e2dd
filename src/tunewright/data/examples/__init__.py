"""Raw rows to examples: which column is what, turns, tools, labels, and what cannot be an example."""
