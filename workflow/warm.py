"""Forks of a process that has imported what runs, the steps of a build and the kernels of its notebooks need.

The imports of a kernel and of the two steps around it took nine seconds of a processor: for the 26 pages of the book, a
third of a build at profile smoke.

    python workflow/warm.py serve COMMAND...    do a command, and the forks that the processes in it ask for
    python workflow/warm.py run WORDS...        what `python WORDS...` does, in a fork where one can be had
"""

import contextlib
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import selectors
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

DOOR = "NC_WARM"  # the variable with the path of the server's socket
# Not `ipykernel.kernelapp`, which when it is imported asks the variables for whom the kernel is.
# The first optimizer of a process imports `torch._dynamo`, in two seconds.
LIBRARIES = (
    *("ipykernel.ipkernel", "papermill", "torch", "torch._dynamo", "scipy.optimize", "seaborn"),
    "nclib.plotting.publish",
)


def serve(command):
    """Do a command to its end, and what is asked for meanwhile; its exit code. Elsewhere than on Linux nothing is: what
    has imported such libraries must not be forked there."""
    if sys.platform != "linux":
        return subprocess.call(command, close_fds=False)
    try:
        folder, door = tempfile.TemporaryDirectory(), socket.socket(socket.AF_UNIX)
        door.bind(os.path.join(folder.name, "door"))
    except OSError:  # no place for it, or a path that is too long for a socket
        return subprocess.call(command, close_fds=False)
    with folder, door, selectors.DefaultSelector() as ready:
        door.listen()
        ready.register(door, selectors.EVENT_READ)
        # It inherits what the server was given to hold, the lock of the build.
        main = subprocess.Popen(command, env=os.environ | offered(folder.name), close_fds=False)
        while main.poll() is None:
            for key, _ in ready.select(timeout=0.1):
                if key.fileobj is door:
                    begin(door.accept()[0], ready)
                elif key.data[1].fileno() >= 0:  # its other event may have come with this one
                    end(*key.data, ready, gone=key.fileobj is key.data[1])
        for fork in multiprocessing.active_children():
            fork.kill()
        return main.returncode


def offered(folder):
    """The variables by which a process finds the server, and Jupyter a kernel that is such a fork."""
    kernel = Path(folder, "kernels", "python3")
    kernel.mkdir(parents=True)
    words = [*python(), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    about = {"argv": words, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(about), encoding="utf-8")
    paths = [folder, *filter(None, [os.environ.get("JUPYTER_PATH")])]
    return {DOOR: os.path.join(folder, "door"), "JUPYTER_PATH": os.pathsep.join(paths)}


def python():
    """The words in front of those of a Python command that does it in a fork. They import little themselves."""
    return [sys.executable, "-E", "-S", __file__, "run"]


def begin(call, ready):
    """Fork a process that does what a caller asks for."""
    _, given, *_ = socket.recv_fds(call, 1, 3)
    with call.makefile(encoding="utf-8") as lines:
        asked = lines.readline()
    if not asked.endswith("\n"):  # the caller was killed meanwhile
        return call.close()
    for name in LIBRARIES:
        with contextlib.suppress(Exception):  # who needs it then says what is wrong with it
            importlib.import_module(name)
    fork = multiprocessing.get_context("fork").Process(target=become, args=(given,), kwargs=json.loads(asked))
    fork.start()
    for file in given:
        os.close(file)
    ready.register(call, selectors.EVENT_READ, (fork, call))  # it says no more: to be read is only that it is gone
    ready.register(fork.sentinel, selectors.EVENT_READ, (fork, call))


def end(fork, call, ready, gone):
    """A fork has ended, and its caller is told; or its caller is gone, and the fork is ended."""
    for file in (call, fork.sentinel):
        ready.unregister(file)
    if gone:
        fork.kill()
    fork.join()
    with call, contextlib.suppress(OSError):
        call.sendall(b"%d" % (fork.exitcode if fork.exitcode >= 0 else 128 - fork.exitcode))
    fork.close()


def become(given, words, folder, variables):
    """Do in this fork what `python WORDS...` does in a folder, with these variables and standard streams."""
    for stream, file in enumerate(given):
        os.dup2(file, stream)
    # What the server's own streams have found out of its files does not hold for these.
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = (
        open(file, "w", 1 if os.isatty(file) else buffering, encoding=old.encoding, errors=old.errors, closefd=False)
        for file, buffering, old in ((1, -1, sys.stdout), (2, 1, sys.stderr))
    )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    gc.set_threshold(50_000, 50, 1000)  # looking for garbage took a thirtieth of a build's time
    if words[0] == "-m":
        sys.argv[:], sys.path[0] = words[1:], folder
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:], sys.path[0] = words, os.path.dirname(words[0])
        runpy.run_path(words[0], run_name="__main__")


def run(words):
    """Have it done in a fork, and give its exit code; where there is no server, become what is asked for."""
    call = socket.socket(socket.AF_UNIX)
    try:
        call.connect(os.environ.get(DOOR, ""))
    except OSError:
        os.execv(sys.executable, [sys.executable, *words])
    asked = {"words": words, "folder": os.getcwd(), "variables": dict(os.environ)}
    socket.send_fds(call, [b" "], [0, 1, 2])
    call.sendall(json.dumps(asked).encode() + b"\n")
    call.settimeout(1)
    parent = os.getppid()
    while os.getppid() == parent:  # who waits for nobody goes, and the fork with it
        try:
            return int(call.recv(100) or 1)
        except TimeoutError:
            continue
    return 1


if __name__ == "__main__":
    sys.exit({"serve": serve, "run": run}[sys.argv[1]](sys.argv[2:]))
