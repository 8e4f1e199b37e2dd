"""`verify --numerics`: the numerical equalities that a run relies on, measured on its own model."""
