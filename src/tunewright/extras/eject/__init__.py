"""`eject`: a run as a plain PEFT and Trainer script."""
