"""What is asked: frozen, strict values and the way from files and flags to them. pydantic and PyYAML only."""
