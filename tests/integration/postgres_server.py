"""A private PostgreSQL that keeps what it commits, on a Unix socket in a folder of its own. Binaries are those of Debian's
and Ubuntu's `postgresql`; where the test is root, which the server refuses to be, it runs as the user that the package makes."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

from harness.processes import Failed, run, wait_until

USER = "postgres"   # the package's, and the superuser of this server
ROLE = "tributary"  # the gateway
DATABASE = "ledger"


def binaries():
    """The folder of the newest ones; none where there are none."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """Use it in a `with` block. Makes an empty database and the gateway's role; the tables are the test's to make."""

    def __init__(self):
        self.bin = binaries()
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # what is cut here is processes, not power
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="trib-pg-", dir=memory))
        self.as_other = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.getuid() == 0 else []
        self.server = None

    def __enter__(self):
        if self.as_other:
            shutil.chown(self.folder, USER, USER)
        self.tool("initdb", "-D", self.folder / "data", "-A", "trust", "-U", USER, "-E", "UTF8", "--no-locale", "--no-sync")
        self.start()
        self.tool("createuser", "-h", self.folder, "-U", USER, ROLE)
        self.make_database(DATABASE)
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def tool(self, name, *argv):
        return run([*self.as_other, self.bin / name, *argv], cwd=self.folder).stdout

    def make_database(self, name):
        self.tool("createdb", "-h", self.folder, "-U", USER, "-E", "UTF8", "-T", "template0", name)

    def url(self, user=ROLE, database=DATABASE):
        return f"postgresql://{user}@{urllib.parse.quote(str(self.folder), safe='')}/{database}"

    def ask(self, sql, database=DATABASE):
        """Rows of texts."""
        out = self.tool("psql", "-h", self.folder, "-U", USER, "-d", database, "-X", "-A", "-t", "-F", "|", "-c", sql)
        return [line.split("|") for line in out.splitlines()]

    def start(self):
        """Again as well, over the same data."""
        def up():
            pdeathsig = ["--pdeathsig=QUIT"] if self.as_other else []
            with open(self.folder / "server.log", "ab") as log:
                began = log.tell()
                self.server = subprocess.Popen([*self.as_other, *pdeathsig, self.bin / "postgres", "-D", self.folder / "data",
                                                "-k", self.folder, "-c", "listen_addresses=", "-c", "lc_messages=C"],
                                               stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)

            def said():
                return b"ready to accept connections" in (self.folder / "server.log").read_bytes()[began:] or self.server.poll() is not None

            wait_until(said, "ready PostgreSQL", 30)
            return self.server.poll() is None

        wait_until(up, "PostgreSQL that starts", 30, 0.1)  # the last one's children may still be going

    def stop(self):
        """At once, as a crash of it does."""
        self.end(signal.SIGQUIT)  # what `pg_ctl stop -m immediate` sends

    def kill(self):
        """The postmaster alone, and nobody is told."""
        self.end(signal.SIGKILL)

    @contextlib.contextmanager
    def frozen(self):
        """It lives, and does nothing."""
        all_of_it = [self.server.pid, *(int(row[0]) for row in self.ask("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"))]
        try:
            for pid in all_of_it:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in all_of_it:
                os.kill(pid, signal.SIGCONT)

    def end(self, number):
        if self.server is not None and self.server.poll() is None:
            self.server.send_signal(number)
            try:
                self.server.wait(20)
            except subprocess.TimeoutExpired:
                raise Failed(f"PostgreSQL does not end (log: {self.folder}/server.log)")
