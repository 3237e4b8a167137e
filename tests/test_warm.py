"""Forks in place of Python commands: the same streams, folder, variables and exit codes, and nothing is left behind."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from smoke_book import clean_environment

WORKFLOW = Path(__file__).resolve().parents[1] / "workflow"
sys.path.insert(0, str(WORKFLOW))
import warm  # noqa: E402

SERVER = "import sys, warm; warm.LIBRARIES = 'colorsys', 'no_such_module'; sys.exit(warm.serve(sys.argv[1:]))"
SCRIPT = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ["GREETING"], "colorsys" in sys.modules, input())
print("a word", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each process starts by itself")


def words(*more):
    return [*warm.python(), *map(str, more)]


def served(*command, **options):
    """A command under a server."""
    options |= {"env": clean_environment(PYTHONPATH=str(WORKFLOW), GREETING="hello"), "text": True}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", SERVER, *map(str, command)], **pipes | options)


@pytest.mark.parametrize("forked", [True, False])
def test_oracle_a_fork_is_what_the_command_would_be(tmp_path, forked):
    script = tmp_path / "a b'ü.py"
    script.write_text(SCRIPT)
    env = clean_environment(GREETING="hello")
    if forked:
        process = served(*words(script, 3, "x y"), cwd=tmp_path)
    else:
        process = subprocess.Popen(
            words(script, 3, "x y"),
            cwd=tmp_path,
            env=env,
            text=True,
            **dict.fromkeys(("stdin", "stdout", "stderr"), -1),
        )
    out, err = process.communicate("typed\n")
    assert out == f"['3', 'x y'] {tmp_path} hello {forked} typed\n" and err == "a word\n"
    assert process.returncode == 3


def test_law_the_command_holds_what_the_server_was_given(tmp_path):
    """As the lock of a build: who is killed alone must not free it for another."""
    with open(tmp_path / "held", "w") as held:
        script = f"import os; print(os.fstat({held.fileno()}).st_ino)"
        process = served(sys.executable, "-c", script, pass_fds=[held.fileno()])
        assert process.communicate()[0] == f"{os.fstat(held.fileno()).st_ino}\n"


def test_law_modules_are_forked_and_what_fails_is_seen(tmp_path):
    (tmp_path / "named.py").write_text("import sys\nprint(__name__, sys.argv[1:])\n1 / 0\n")
    process = served(*words("-m", "named", "-f", "x"), cwd=tmp_path)
    out, err = process.communicate()
    assert out == "__main__ ['-f', 'x']\n" and "ZeroDivisionError" in err and process.returncode == 1


def test_law_what_is_forked_from_has_not_asked_for_a_gpu():
    """A process whose parent has asked the driver cannot use a GPU, and runs are such forks."""
    code = """
import importlib, torch, warm
torch._C._cuda_getDeviceCount = torch._C._cuda_getCurrentRawStream = lambda *given: 1 / 0  # as with a driver
for name in warm.LIBRARIES:
    importlib.import_module(name)
assert not torch.cuda.is_initialized()
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=clean_environment(PYTHONPATH=str(WORKFLOW)))


def test_law_streams_are_the_callers_also_where_the_servers_are_files(tmp_path):
    """A file has places to go to, a pipe has none."""
    (tmp_path / "named.py").write_text(
        "import sys\nfor out in sys.stdout, sys.stderr:\n  out.reconfigure(errors='replace')\n  print('ü', file=out)"
    )
    shell = " ".join(map(shlex.quote, words("-m", "named")))
    with open(tmp_path / "said", "w") as said, open(tmp_path / "wrong", "w") as wrong:
        piped = f"{{ {shell} 2>&3 | cat; }} 3>&1 | cat"
        with served("sh", "-c", piped, cwd=tmp_path, stdout=said, stderr=wrong) as process:
            process.wait()
    assert (tmp_path / "said").read_text() == "ü\nü\n" and not (tmp_path / "wrong").read_text()


@pytest.mark.parametrize("killed", ["caller", "who waits for it", "fork"])
def test_law_nothing_is_left_of_what_is_killed(tmp_path, killed):
    """Of a command that asks for a fork: the process that asks, the one that waits for that, and the fork itself."""
    script, note = tmp_path / "long.py", tmp_path / "pid"
    script.write_text(f"import os, time\nopen({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    shell = ["sh", "-c", '"$@"; echo ended with $?; sleep 5', "sh", *words(script)]
    with served(*shell) as process:
        while not (note.exists() and note.read_text()):
            assert process.poll() is None
            time.sleep(0.02)
        fork = psutil.Process(int(note.read_text()))
        assert fork.parent().pid == process.pid
        (waiting,) = [one for one in psutil.Process(process.pid).children() if one.name() == "sh"]
        {"caller": waiting.children()[0], "who waits for it": waiting, "fork": fork}[killed].kill()
        fork.wait(timeout=10)
        if killed != "who waits for it":
            assert process.stdout.readline() == "ended with 137\n"
            waiting.kill()
        assert process.wait(timeout=10) == 256 - signal.SIGKILL
