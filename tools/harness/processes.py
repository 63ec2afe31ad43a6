"""Child processes with a log file, a ready line and a certain end."""
import ctypes
import os
import re
import signal
import subprocess
import time


class Failed(Exception):
    """Something expected did not happen; the text is one line and names the log."""


def _die_with_parent():
    # Linux: the child gets SIGTERM when the thread that started it ends, whatever ended it.
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)


def wait_until(condition, what, timeout_s=10.0, every_s=0.02):
    """Calls `condition` until it gives something true, which is returned. Raises Failed in time."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"no {what} within {timeout_s:g} s")
        time.sleep(every_s)


class Child:
    """One process. Its output goes to `log`; the file is read for the ready line."""

    def __init__(self, name, argv, log, env=None, cwd=None):
        self.name = name
        self.log = log
        self.argv = [str(a) for a in argv]
        with open(log, "wb") as out:
            try:
                self.process = subprocess.Popen(
                    self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                    env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True,
                    preexec_fn=_die_with_parent)
            except OSError as e:
                raise Failed(f"{name}: cannot start {self.argv[0]}: {e.strerror}")

    @property
    def pid(self):
        return self.process.pid

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def running(self):
        return self.process.poll() is None

    def wait_ready(self, pattern=r"^ready\b.*$", timeout_s=20.0):
        """The match of the ready line. Raises Failed with the last line of the log if it ends before."""
        expression = re.compile(pattern, re.MULTILINE)

        def ready():
            match = expression.search(self.output())
            if match is None and not self.running():
                raise Failed(f"{self.name} ended with code {self.process.returncode} before it was ready: "
                             f"{self.last_line()} (log: {self.log})")
            return match

        try:
            return wait_until(ready, "ready line", timeout_s)
        except Failed as e:
            if "ready line" in str(e):
                raise Failed(f"{self.name}: {e}; last line: {self.last_line()} (log: {self.log})")
            raise

    def last_line(self):
        lines = [line for line in self.output().splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else "no output"

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def wait(self, timeout_s):
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {timeout_s:g} s (log: {self.log})")

    def stop(self, grace_s=10.0):
        """SIGTERM, then SIGKILL for the whole process group. Gives the exit code."""
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(grace_s)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return self.process.wait(10)


class Children:
    """Ends all that it started, last first, on leaving the `with` block."""

    def __init__(self):
        self.all = []

    def start(self, *args, **kwargs):
        child = Child(*args, **kwargs)
        self.all.append(child)
        return child

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for child in reversed(self.all):
            child.stop()
        self.all.clear()


def run(argv, env=None, cwd=None, timeout_s=60.0, check=True):
    """Runs a command to its end. Raises Failed with its first line of error unless check is False."""
    argv = [str(a) for a in argv]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              env={**os.environ, **(env or {})}, cwd=cwd, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(argv[:3])} ... took longer than {timeout_s:g} s")
    except OSError as e:
        raise Failed(f"cannot start {argv[0]}: {e.strerror}")
    if check and done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Failed(f"{' '.join(argv[:4])}: exit code {done.returncode}: {lines[0] if lines else 'no output'}")
    return done
