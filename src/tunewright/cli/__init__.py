"""The command line: parse, one call of the api, show. No logic of its own."""
