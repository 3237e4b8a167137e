"""Wait until the process that started this one is gone, however it ended; then end another and all that it started.

python workflow/watch.py PID, with a pipe from the one to be watched on standard input
"""

import contextlib
import sys

import psutil


def family(process):
    """A process and what it started, itself first, so that it starts nothing more; none where it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def main(pid):
    """End the process and its family when standard input does."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        sys.stdin.read()
        for member in family(process):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()


if __name__ == "__main__":
    main(int(sys.argv[1]))
