"""Files to raw rows, each with its place: JSON, tables, CoNLL, plain text, parquet and the Hub."""
