"""Build the book: Snakemake in the build folder, one at a time there, with a short account of what failed.

python workflow/book.py --build build --profile laptop --jobs 2
"""

import argparse
import fcntl
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROFILES = ("smoke", "laptop", "paper")
LONGEST = ("11-linguistic-scaling", "A2-grammar", "12-linguistic-seeds")  # first: no core waits for them at the end


def environment(build):
    """What the steps inherit: one thread each, no progress bars, the cache of runs, this checkout's nclib."""
    fixed = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    return os.environ | fixed | {"NCLIB_CACHE": os.environ.get("NCLIB_CACHE") or str(build / "cache")}


def snakemake(build, profile, jobs):
    """The command. `--nolock`: the lock is ours, and the system drops it when its holder is killed."""
    return [
        *(sys.executable, "-m", "snakemake", "--nolock", "--cores", str(jobs), "--directory", str(build)),
        *(
            "--snakefile",
            str(ROOT / "workflow" / "Snakefile"),
            "--workflow-profile",
            str(ROOT / "workflow" / "profiles" / "book"),
        ),
        *("--config", f"profile={profile}"),
        *("--prioritize", *(f"executed/{name}" for name in LONGEST if (ROOT / "notebooks" / f"{name}.ipynb").exists())),
    ]


def build_book(build, profile, jobs):
    """Run Snakemake to its end; 0, or its exit code after a few lines on standard error."""
    build.mkdir(parents=True, exist_ok=True)
    with open(build / ".lock", "w") as lock, open(build / "snakemake.log", "w") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = snakemake(build, profile, jobs)
        code = subprocess.run(command, stderr=log, env=environment(build), pass_fds=[lock.fileno()]).returncode
    if code:
        report(build)
    else:
        print(f"The book is built; open {build / 'site' / '_build' / 'html' / 'index.html'}")
    return code


def report(build):
    """The notes that refused steps left, or the end of Snakemake's log where there is none."""
    notes = [note.read_text() for note in sorted([*build.glob("executed/*.failed"), *build.glob("site/*.failed")])]
    log = (build / "snakemake.log").read_text().splitlines()[-15:]
    print(
        "\nThe book was not built.",
        *(notes or log),
        f"Logs: {build}/executed/*.log, {build}/snakemake.log",
        sep="\n",
        file=sys.stderr,
    )


def main():
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--profile", default="laptop", choices=PROFILES)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    return build_book(given.build.resolve(), given.profile, given.jobs)


if __name__ == "__main__":
    sys.exit(main())
