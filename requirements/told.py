#!/usr/bin/env python3
"""Runs a command that takes long, and tells each second what it says: make is never silent.

    python requirements/told.py COMMAND ARGUMENT…

The last line of the command's output, and the seconds that have passed: one line that changes on a
terminal, a line a second elsewhere. Standard error is the command's own. If the command fails, all of
its output is shown, and the exit code is its own.
"""

import shutil
import subprocess
import sys
import threading


def main() -> int:
    """Run the command to its end; its exit code."""
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True, errors="replace")
    lines: list[str] = []
    reader = threading.Thread(target=_read, args=(process, lines))
    reader.start()
    seconds = 0
    while reader.is_alive():
        reader.join(1.0)
        seconds += 1
        if reader.is_alive():
            _tell(seconds, lines[-1].strip() if lines else "")
    if sys.stdout.isatty():
        sys.stdout.write("\r\x1b[K")
    code = process.wait()
    if code:
        sys.stdout.writelines(lines)
    return code


def _read(process: "subprocess.Popen[str]", lines: "list[str]") -> None:
    for line in process.stdout or ():
        lines.append(line)


def _tell(seconds: int, line: str) -> None:
    width = shutil.get_terminal_size().columns - 1
    text = f"  {seconds:3} s  {line}"[:width].rstrip()
    sys.stdout.write(f"\r{text}\x1b[K" if sys.stdout.isatty() else f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the command got it too, and says what it likes
        sys.exit(130)
