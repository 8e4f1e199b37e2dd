"""The config: frozen, strict values, and how files and flags become them. pydantic and PyYAML only."""
