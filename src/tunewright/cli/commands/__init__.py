"""One small file for each verb. What is heavier than typer is imported inside the functions, so that --help is quick."""
