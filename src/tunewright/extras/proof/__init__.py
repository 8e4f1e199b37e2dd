"""Whether what was deployed answers as the run that it came from."""
