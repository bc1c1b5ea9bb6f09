"""Mail, sent behind the requests' backs: a mail server that is slow or gone holds up no page."""

import logging
import queue
import smtplib
import ssl
import threading
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from gamify.mail_server import MailServer

log = logging.getLogger(__name__)

TIMEOUT = 10.0  # seconds for each step of a conversation
MOST_WAITING = 1_000  # mails; more than that is a fault or an attack, and the rest is dropped

INVITATION = """\
Hello,

{inviter} invites you to {where} on Gamify. This link works once, for 7 days:

{link}

If you did not expect this, ignore it.
"""
RESET = """\
Hello,

Somebody asked for a new password for {email} on Gamify. This link works once, for an hour:

{link}

If it was not you, ignore it: your password stays as it is.
"""

REPORT = """\
Hello,

the report "{name}" of {where} is ready: {about}.

Sign in to download it, until {until:%-d %b %Y}:

{link}

You get this because somebody of {where} has put you down for it; they can change that on the page of exports.
"""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail with a link in it. `thread` makes its id, so that the same mail sent twice has the same one."""

    to: str
    subject: str
    text: str
    link: str
    thread: str | None = None


def invitation(*, to: str, inviter: str, where: str, link: str) -> Mail:
    """The mail for somebody who is invited."""
    where = " ".join(where.split())  # a name must not add lines to the head
    return Mail(to, f"{where}: your invitation", INVITATION.format(inviter=inviter, where=where, link=link), link)


def reset(*, to: str, link: str) -> Mail:
    """The mail for somebody who forgot the password."""
    return Mail(to, "Your new password", RESET.format(email=to, link=link), link)


def report(*, to: str, name: str, about: str, where: str, until: datetime, link: str, thread: str) -> Mail:
    """The mail for somebody who is sent a report: its name and its days, and nothing of what is in it."""
    name, where = " ".join(name.split()), " ".join(where.split())  # a name must not add lines to the head
    text = REPORT.format(name=name, about=about, where=where, until=until, link=link)
    return Mail(to, f"{name}: {about}", text, link, thread)


class Mailer:
    """Sends mail in a thread of its own, begun with the first mail.

    Without a server, the link goes to the log outside production, where nobody else reads it, and nowhere in production.
    """

    def __init__(self, server: MailServer | None, *, is_production: bool) -> None:
        self._server, self._is_production = server, is_production
        self._waiting: queue.Queue[Mail] = queue.Queue(MOST_WAITING)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def can_send(self) -> bool:
        """Whether there is a mail server; if not, links are shown to those who may hand them on."""
        return self._server is not None

    def send(self, mail: Mail) -> None:
        """Send the mail soon. It never fails: what goes wrong is logged."""
        if self._server is None:
            if not self._is_production:
                log.info("no MAIL_URL; the link is %s", mail.link, extra={"to": mail.to, "subject": mail.subject})
            return
        self._start(self._server)
        try:
            self._waiting.put_nowait(mail)
        except queue.Full:
            log.warning("too many mails are waiting; one was dropped")

    def drain(self) -> None:
        """Wait until everything has been sent or has failed."""
        self._waiting.join()

    def _start(self, server: MailServer) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(server,), name="mail", daemon=True)
                self._thread.start()

    def _run(self, server: MailServer) -> None:
        while True:
            mail = self._waiting.get()
            try:
                deliver(server, mail)
            except (OSError, smtplib.SMTPException, ValueError) as error:
                log.warning("a mail could not be sent", exc_info=error)
            finally:
                self._waiting.task_done()


def deliver(server: MailServer, mail: Mail) -> None:
    """Hand one mail to the server. Raises `OSError`, or `SMTPException` for what it refuses."""
    with _connect(server) as smtp:
        if server.is_starttls:
            smtp.starttls(context=ssl.create_default_context())
        if server.user:
            smtp.login(server.user, server.password or "")
        smtp.send_message(_message(server, mail))


def _connect(server: MailServer) -> smtplib.SMTP:
    if server.is_tls:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=ssl.create_default_context())
    return smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)


def _message(server: MailServer, mail: Mail) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = server.sender, mail.to, mail.subject
    message["Date"] = formatdate()
    domain = server.sender.rpartition("@")[2]
    message["Message-ID"] = f"<{mail.thread}@{domain}>" if mail.thread else make_msgid(domain=domain)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message
