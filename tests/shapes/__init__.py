"""Shapes of data as they lie about: what each is, and what becomes of it. `docs/shapes.md` is written from them."""
