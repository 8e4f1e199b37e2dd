"""The worker and its machine: memory that runs out, a disk that refuses, the measured speed of the device."""
