"""Hyperparameter search: Optuna proposes settings, ordinary runs are trained, until the budget is used."""
