"""The search for good settings: Optuna proposes, ordinary runs are trained, until the budget is used."""
