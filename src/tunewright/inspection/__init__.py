"""What is true about this machine, a model and the data: readers and tables, no opinions, no torch."""
