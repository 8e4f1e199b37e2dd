"""Fast paths: each has a plain twin that gives the same numbers, and is compared with it before it is used."""
