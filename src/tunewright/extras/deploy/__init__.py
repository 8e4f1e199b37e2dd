"""Runs behind an endpoint: made into what an engine loads, and served by it. The other packages of extras know nothing of it."""
