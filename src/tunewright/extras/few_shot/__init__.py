"""Few-shot prompting of the base model: its scores with training rows in the prompt, without any training."""
