"""A run and its base under EleutherAI's lm-evaluation-harness."""
