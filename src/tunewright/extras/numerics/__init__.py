"""`verify --numerics`: the equalities that a run stands on, measured on a person's own model."""
