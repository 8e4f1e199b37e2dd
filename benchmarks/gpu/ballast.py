"""Holds an accelerator's memory until only so many bytes are free, and its standard input is closed: `ballast.py BYTES`."""

import sys

import torch

PIECE = 256 * 2**20


def main() -> None:
    device = torch.accelerator.current_accelerator(check_available=True)
    assert device is not None, "there is no accelerator"
    held = []
    while torch.accelerator.get_memory_info()[0] > int(sys.argv[1]) + PIECE:
        held.append(torch.empty(PIECE, dtype=torch.uint8, device=device))
    print(len(held) * PIECE, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
