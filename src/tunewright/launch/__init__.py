"""The order of steps: model and facts, plan, run folder, parent, worker. No torch."""
