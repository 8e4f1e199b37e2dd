"""Fast paths: each has a plain counterpart that gives the same result, and is compared with it before it is used."""
