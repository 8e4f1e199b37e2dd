"""What libraries say when the disk refuses a write, as the OSError that it is."""
