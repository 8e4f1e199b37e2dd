"""The worker: the only process with torch. Everything undecided was decided in the plan."""
