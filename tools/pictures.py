"""Pictures of the README: what commands show in a terminal, as PNG by a headless browser.

`tools/pictures.py out.png 100 "tunewright runs watch last" "tunewright chat last -p Hi"` runs each command in a terminal of 100
columns. Nothing is drawn by hand: colours and lines are the command's own, rich turns them into a page.
"""

import io
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from fcntl import ioctl
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

BROWSERS = ("chromium", "chromium-headless-shell", "google-chrome")
CELL_WIDTH, LINE_HEIGHT, MARGIN = 10, 24, 32  # pixels, of the font below
PAGE = """<meta charset="utf-8"><style>i {{display:inline-block;width:2ch;font-style:normal}}</style>
<body style="margin:{margin}px;background:#1e2028;color:#e0e4ee">
<pre style="font:16.6px/{line}px 'DejaVu Sans Mono','Noto Sans Mono CJK SC',monospace;margin:0">{text}</pre>"""
REDRAWN = re.compile(r"[^\n]*\r(?!\n)|\x1b\[\d*[ABCDGJK]|\x1b\[\?25[lh]")


def in_terminal(command: str, columns: int) -> str:
    """What a command writes into a terminal of so many columns."""
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(command, shell=True, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    written = b""
    while select.select([leader], [], [])[0]:
        try:
            written += os.read(leader, 65536)
        except OSError:  # the command has closed its end
            break
    process.wait()
    return REDRAWN.sub("", written.decode().replace("\r\n", "\n"))


def main() -> None:
    target, columns, *commands = sys.argv[1:]
    console = Console(record=True, width=int(columns), file=io.StringIO(), color_system="truecolor")
    for index, command in enumerate(commands):
        console.print(Text.assemble("\n" if index else "", ("$ ", "bold green"), command))
        console.print(Text.from_ansi(in_terminal(command, int(columns)).rstrip("\n")), soft_wrap=True)
    text = console.export_html(theme=MONOKAI, inline_styles=True, code_format="{code}", clear=False)
    text = "".join(f"<i>{character}</i>" if cell_len(character) == 2 else character for character in text)
    lines = len(console.export_text().splitlines())
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"none of {', '.join(BROWSERS)} is installed: apt install chromium")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(PAGE.format(margin=MARGIN, line=LINE_HEIGHT, text=text), encoding="utf-8")
        size = f"{int(columns) * CELL_WIDTH + 2 * MARGIN},{lines * LINE_HEIGHT + 2 * MARGIN}"
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile",
             f"--window-size={size}", f"--screenshot={Path(target).resolve()}", page.as_uri()],
            check=True, capture_output=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
