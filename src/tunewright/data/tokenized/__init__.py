"""Examples to token ids with a loss mask: tokenizer, chat template, micro-batches, and the cache of them."""
