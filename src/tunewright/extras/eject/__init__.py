"""`eject`: a run as the plain PEFT and Trainer script that it amounts to."""
