"""What will be done: pure functions from what is asked and what is true to a plan. No clock, disk, network or torch."""
