"""Run a program, and print what it and its children took: a process of its own, with little memory.

Linux counts the memory of the process that forked a program as the program's.
"""

import json
import os
import sys
import time


def main() -> None:
    """Run the arguments, without their output, and print one object of JSON."""
    began = time.monotonic()
    quiet = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[quiet])
    _, status, usage = os.wait4(process, 0)
    used = {
        "seconds": time.monotonic() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    sys.stdout.write(json.dumps(used))
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
