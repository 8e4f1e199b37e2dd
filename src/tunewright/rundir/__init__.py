"""What happened: a run is a folder, and these are the readers and writers of its files. No torch."""
