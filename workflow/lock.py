"""Print requirements.lock: the exact version of every package here, without local builds, hosts or paths."""

import re
import subprocess
import sys

EXCLUDED = {"pip", "wheel", "neural-collapse", "nclib"}


def pins(frozen):
    """`pip freeze` lines -> sorted `name==version` lines; a local version such as `+cpu` is cut."""
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==([^+\s]+)(\+\S+)?", line) for line in frozen]
    return sorted((f"{pin[1]}=={pin[2]}" for pin in found if pin and pin[1].lower() not in EXCLUDED), key=str.lower)


if __name__ == "__main__":
    frozen = subprocess.run(
        [sys.executable, "-m", "pip", "freeze", "--all"], capture_output=True, text=True, check=True
    )
    print("\n".join(pins(frozen.stdout.splitlines())))
