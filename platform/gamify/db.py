"""The database: engines, sessions, and transactions that see one tenant only."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from gamify.errors import DomainError, LockedByOthers, PointsOverflow, Unavailable

T = TypeVar("T")

APP_ROLE = "gamify_app"
LOCK_TIMEOUT = 800  # ms: a row held by somebody else ends in 503 within two seconds, even after a first try in company
STATEMENT_TIMEOUT = 30_000  # ms
IDLE_TIMEOUT = 120_000  # ms that a transaction may wait for whoever reads what it makes: it keeps the past from being tidied away
POOL_TIMEOUT = 1.0  # s to wait for a free connection before 503
ATTEMPTS = 4  # the first, and three more after a deadlock or a serialization failure
OLDEST_SERVER = 180000  # RETURNING old/new and others came with PostgreSQL 18

CONFLICTS = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.errors.UniqueViolation)

# A fixed character for each session: what a request may wait for, and as whom it speaks.
SESSION = (
    f"SET ROLE {APP_ROLE}; SET lock_timeout = {LOCK_TIMEOUT}; SET statement_timeout = {STATEMENT_TIMEOUT}; SET jit = off"
    f"; SET idle_in_transaction_session_timeout = {IDLE_TIMEOUT}"
)
# The ledger's functions look rows up by whole keys: planning them anew for each call would cost more than running them.
# A plan is kept, so it must not be one that only suits a table that is still empty: no whole table is ever read here.
# And whoever waits for a locked row waits in a queue: only a limit on the whole statement bounds that.
_FUNCTIONS = (
    f"{SESSION}; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET statement_timeout = {LOCK_TIMEOUT}"
)


class Database:
    """Connections to one PostgreSQL database, opened when first needed (so a fork before that is harmless)."""

    def __init__(self, url: Callable[[], str], *, owner_url: Callable[[], str], pool_size: int) -> None:
        self._find_url, self._find_owner_url, self._pool_size = url, owner_url, pool_size
        self._opening = threading.Lock()

    @property
    def url(self) -> str:
        """Where the database is; finding out starts an embedded one."""
        return self._find_url()

    @cached_property
    def engine(self) -> Engine:
        """The app's engine; every connection has put on the app's role, which row-level security binds."""
        return self._open("engine", _prepare_connection)

    @cached_property
    def _statements(self) -> Engine:
        """Connections in autocommit mode for good: switching each time would cost more than the pool does."""
        return self._open("_statements", _prepare_autocommit, pool_reset_on_return=None)

    def _open(self, name: str, prepare: Callable[..., None], **options: Any) -> Engine:
        with self._opening:
            opened: Engine | None = self.__dict__.get(name)
            if opened is not None:
                return opened  # by another thread, while this one waited
            engine = create_engine(
                sqlalchemy_url(self.url),
                pool_size=self._pool_size,
                max_overflow=0,
                pool_timeout=POOL_TIMEOUT,
                pool_use_lifo=True,
                connect_args={"connect_timeout": 3, "application_name": "gamify"},
                **options,
            )
            event.listen(engine, "connect", prepare)
            return engine

    @cached_property
    def owner_engine(self) -> Engine:
        """The engine migrations use: the owner of the tables, without the app's role."""
        engine = create_engine(sqlalchemy_url(self._find_owner_url()), pool_size=1)
        event.listen(engine, "connect", _check_version)
        return engine

    @contextmanager
    def transaction(self, tenant_id: int | None = None) -> Iterator[Session]:
        """One transaction, committed at the end; with a tenant, its rows are the only ones there are.

        Raises `Unavailable` when the database cannot be reached or does not answer in time.
        """
        with translated(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            if tenant_id is not None:
                act_as(session, tenant_id)
            yield session

    @contextmanager
    def snapshot(self, tenant_id: int) -> Iterator[Session]:
        """A transaction that only reads, and all of whose statements see one and the same moment."""
        with self.transaction() as session:
            session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            act_as(session, tenant_id)
            yield session

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A bare connection in autocommit mode: for statements that are transactions of their own.

        Raises `Unavailable` like `transaction`.
        """
        with translated():
            pooled = self._statements.raw_connection()
            connection: psycopg.Connection[Any] = pooled.driver_connection  # type: ignore[assignment]  # psycopg's, by our URL
            try:
                yield connection
            except psycopg.Error as error:
                if connection.closed:
                    pooled.invalidate(error)
                    self._statements.dispose()  # a restarted server has dropped the idle ones too
                raise
            finally:
                pooled.close()

    def can_bypass_policies(self) -> bool:
        """Whether the app's login could see every tenant by taking the app's role off."""
        with self.transaction() as session:
            query = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user")
            return bool(session.scalar(query))

    def close(self) -> None:
        """Close every connection that is open."""
        for name in ("engine", "_statements", "owner_engine"):
            engine = self.__dict__.pop(name, None)
            if engine is not None:
                engine.dispose()


def act_as(session: Session, tenant_id: int) -> None:
    """Make `tenant_id` the session's tenant until its transaction ends.

    A literal SET LOCAL and not set_config(): on Citus only the former travels to the workers.
    """
    session.execute(text(f"SET LOCAL app.tenant_id = '{int(tenant_id)}'"))


def hurry(session: Session, *, seconds: float) -> None:
    """Give each statement of the transaction less time than usual. One that takes longer ends in `Unavailable`."""
    session.execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))


def sqlalchemy_url(url: str) -> str:
    """Accept the URL forms in use (`postgres://`, `postgresql://`) and name our driver."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme.split("+")[0] in ("postgres", "postgresql") else url


def plain_url(url: str) -> str:
    """The URL as PostgreSQL's own library takes it."""
    return f"postgresql://{url.partition('://')[2]}"


def retrying(attempt: Callable[[], T]) -> T:
    """Call `attempt` again, up to three times, when it lost to a concurrent transaction.

    That is a deadlock, a serialization conflict, or a key that the other one has just written (the next attempt finds
    what it stands for).
    """
    for left in reversed(range(ATTEMPTS)):
        try:
            return attempt()
        except CONFLICTS:
            if not left:
                raise
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def translated() -> Iterator[None]:
    """Turn faults of the database into `Unavailable`, and totals beyond 64 bits into `PointsOverflow`."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable from error
    except (DBAPIError, psycopg.Error) as error:
        domain = meaning(error.orig if isinstance(error, DBAPIError) else error)
        if domain is None:
            raise
        raise domain from error


def meaning(error: BaseException | None) -> DomainError | None:
    """What a driver's error says to a client; None for a mistake of ours."""
    if isinstance(error, psycopg.errors.NumericValueOutOfRange):
        return PointsOverflow()
    if isinstance(error, (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)):
        return LockedByOthers()
    # Connections, time-outs, shutdowns, full disks and read-only standbys: nothing was decided.
    passing = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)
    return Unavailable() if isinstance(error, passing) else None


def _check_version(connection: psycopg.Connection[Any], _record: object) -> None:
    if connection.info.server_version < OLDEST_SERVER:
        raise Unavailable("PostgreSQL 18 or newer is required.")


def _prepare_connection(connection: psycopg.Connection[Any], record: object) -> None:
    _check_version(connection, record)
    connection.autocommit = True
    connection.execute(SESSION)
    connection.autocommit = False


def _prepare_autocommit(connection: psycopg.Connection[Any], record: object) -> None:
    _check_version(connection, record)
    connection.autocommit = True
    connection.execute(_FUNCTIONS)
