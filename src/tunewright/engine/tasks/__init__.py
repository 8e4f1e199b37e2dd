"""What the four tasks differ in: how a batch is collated and how its loss is computed."""
