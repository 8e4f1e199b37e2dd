"""What the base model reaches with training rows in its prompt, without any training."""
