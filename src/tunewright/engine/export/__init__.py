"""What leaves a run: the adapter and the merged model, and the check that what was written is what was trained."""
