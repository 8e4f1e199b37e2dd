"""A run's adapter in the formats of other engines: what each can hold, the plan, the files, and how they are started there."""
