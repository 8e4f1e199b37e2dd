"""The training of one adapter: data set, Trainer, callbacks, loss backends, the run from start to end."""
