"""Build the book: Snakemake in the build folder, one at a time there, with a short account of what failed.

python workflow/book.py --build build --profile laptop --jobs 2
"""

import argparse
import contextlib
import fcntl
import os
import re
import subprocess
import sys
import textwrap
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
    first = [f"executed/{name}" for name in LONGEST if (ROOT / "notebooks" / f"{name}.ipynb").exists()]
    return [
        *(sys.executable, "-m", "snakemake", "--nolock", "--cores", str(jobs), "--directory", str(build)),
        *(
            "--snakefile",
            str(ROOT / "workflow" / "Snakefile"),
            "--workflow-profile",
            str(ROOT / "workflow" / "profiles" / "book"),
        ),
        *("--config", f"profile={profile}"),
        *(["--prioritize", *first] if first else []),
    ]


@contextlib.contextmanager
def lock(build):
    """One build at a time in a folder: waits for another, and says for whose. It is held until its file is closed."""
    with open(build / ".lock", "a+", encoding="ascii") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.seek(0)
            print(f"Waiting for process {held.read() or '?'}, which builds in {build}", file=sys.stderr, flush=True)
            fcntl.flock(held, fcntl.LOCK_EX)
        held.truncate(0)
        print(os.getpid(), end="", file=held, flush=True)
        yield held


def run(command, **options):
    """Exit code of a command. It and all that it started end with this process, also where that is killed."""
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        watch = [sys.executable, str(ROOT / "workflow" / "watch.py"), str(process.pid)]
        with subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True):
            return process.wait()


def build_book(build, profile, jobs):
    """Run Snakemake to its end; 0, or its exit code after a few lines on standard error."""
    build.mkdir(parents=True, exist_ok=True)
    with lock(build) as held, open(build / "snakemake.log", "w", encoding="utf-8") as log:
        for note in notes(build):
            note.unlink()
        forget_damaged(build)
        command = [sys.executable, str(ROOT / "workflow" / "warm.py"), "serve", *snakemake(build, profile, jobs)]
        code = run(command, stderr=log, env=environment(build), pass_fds=[held.fileno()])
    if code:
        report(build)
    else:
        print(f"The book is built; open {build / 'site' / '_build' / 'html' / 'index.html'}")
    return code


def forget_damaged(build):
    """Remove what a crash has cut off, or another hand changed, so that it is made again; said on standard error."""
    promoted = sorted(build.glob("site/notebooks/*.ipynb"))
    if promoted:  # the imports take a second, and a first build has none
        import pages

        from nclib.runs.seal import remove
    for page in promoted:
        try:
            pages.promoted(page)
        except ValueError as reason:
            print(reason, file=sys.stderr, flush=True)
            remove(page)
    if not (build / "site" / "_build" / "html" / "index.html").exists():
        (build / "site" / "built").unlink(missing_ok=True)


def notes(build):
    """The notes that refused steps left: why, in a few lines."""
    return sorted([*build.glob("executed/*.failed"), *build.glob("site/*.failed")])


def report(build):
    """Why: the notes, the ends of the logs of failed steps that left none, or else the end of Snakemake's log."""
    log = (build / "snakemake.log").read_text(encoding="utf-8", errors="replace")
    found = [note.read_text(encoding="utf-8", errors="replace") for note in notes(build)]
    for path in dict.fromkeys(re.findall(r"^    log: (.+) \(check log file", log, re.M)):
        text = (build / path).read_text(encoding="utf-8", errors="replace")
        if not any(note.strip() in text for note in found):
            found.append("\n".join([f"{path}: a step left no word of why; its log ends with", *end(text, 6)]) + "\n")
    print("\nThe book was not built.", *(found or end(log, 15)), sep="\n", file=sys.stderr)
    print(f"Logs: {build}/executed/*.log, {build}/snakemake.log", file=sys.stderr)


def end(text, lines):
    """The last lines of a text, each cut where it is long."""
    return [textwrap.shorten(line, 300, placeholder=" …") for line in text.strip().splitlines()[-lines:]]


def main():
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--profile", default="laptop", choices=PROFILES)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    try:
        return build_book(given.build.resolve(), given.profile, given.jobs)
    except KeyboardInterrupt:
        print("Interrupted; what is finished is kept, and the same command goes on from there.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
