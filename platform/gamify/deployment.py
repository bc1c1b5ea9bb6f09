"""What the current app is made of, for the doors."""

from functools import cached_property, partial

from flask import current_app

from gamify.config import Settings
from gamify.counters import Counters
from gamify.db import Database
from gamify.embedded import EmbeddedServers
from gamify.gathering import Gatherer
from gamify.request_log import RequestLog
from gamify.services import ledger
from gamify.services.callers import Callers
from gamify.services.last_used import LastUsed
from gamify.services.ledger import Movement, Outcome
from gamify.services.mail import Mailer
from gamify.services.request_months import RequestMonths
from gamify.services.rollup_job import Rollups
from gamify.services.signing_in import Door
from gamify.services.vault import Vault


class Deployment:
    """Settings and everything opened with them, each when first needed (so that a fork before that is harmless)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(
            lambda: settings.database_url or self.servers.database_url,
            owner_url=lambda: settings.owner_url or self.servers.database_url,
            pool_size=settings.pool_size,
        )
        self.last_used = LastUsed(self.database)
        self.request_months = RequestMonths(self.database)
        self.rollups = Rollups(self.database, is_summing=settings.is_summing)

    @cached_property
    def servers(self) -> EmbeddedServers:
        """Servers of our own, joined; for whatever has no URL."""
        servers = EmbeddedServers(self.settings.data_dir)
        servers.join()
        return servers

    @cached_property
    def counters(self) -> Counters:
        """Redis."""
        return Counters(self.settings.redis_url or self.servers.redis_url)

    @cached_property
    def request_log(self) -> RequestLog:
        """The last requests of each key."""
        return RequestLog(self.settings.redis_url or self.servers.redis_url)

    @cached_property
    def callers(self) -> Callers:
        """The keys seen lately."""
        return Callers(self.database, self.counters, pepper=self.settings.api_key_pepper)

    @cached_property
    def gatherer(self) -> Gatherer[Movement, Outcome]:
        """What puts concurrent movements of a tenant together; its lanes are tenants."""
        return Gatherer(partial(ledger.post, self.database), is_gathering=self.settings.is_gathering)

    @cached_property
    def vault(self) -> Vault:
        """What is encrypted and digested under `SECRET_KEY`."""
        return Vault(self.settings.secret_key)

    @cached_property
    def door(self) -> Door:
        """Where people sign in."""
        return Door(self.database, self.vault)

    @cached_property
    def mailer(self) -> Mailer:
        """What sends mail."""
        return Mailer(self.settings.mail_server, is_production=self.settings.is_production)

    def close(self) -> None:
        """Let go of everything that was opened."""
        self.last_used.close()
        self.request_months.close()
        self.rollups.close()
        self.database.close()
        for name in ("counters", "request_log"):
            if name in self.__dict__:
                getattr(self, name).close()
        if "servers" in self.__dict__:
            self.servers.leave()


def deployment() -> Deployment:
    """Return the current app's deployment."""
    found: Deployment = current_app.extensions["gamify"]
    return found


def database() -> Database:
    """Return the current app's database."""
    return deployment().database


def counters() -> Counters:
    """Return the current app's counters."""
    return deployment().counters
