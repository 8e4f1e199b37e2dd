"""Rules behind `diagnose`: from the files of a run to findings with remedies. Pure, and without torch."""
