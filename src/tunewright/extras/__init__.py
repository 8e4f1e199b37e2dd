"""What is not needed to train, evaluate, save and resume one adapter. The core imports nothing from here."""
