"""Mail, through a real conversation with a server."""

import base64
import logging
import time

import pytest
from gamify import mail_server
from gamify.services import mail
from gamify.services.mail import Mailer

from tests.smtp import Smtp

LINK = "https://gamify.example/dashboard/reset/a-token"


@pytest.fixture
def smtp():
    """Starts servers."""
    started = []

    def start(**how):
        started.append(Smtp(**how))
        return started[-1]

    yield start
    for server in started:
        server.close()


def send(url, made):
    mailer = Mailer(mail_server.parse(url), is_production=True)
    mailer.send(made)
    mailer.drain()


def test_an_invitation_arrives_with_its_link(smtp):
    server = smtp()
    send(server.url(), mail.invitation(to="ana@mail.example", inviter="bo@mail.example", where="Café Ünal", link=LINK))

    (got,) = server.mails
    assert (got["To"], got["From"]) == ("ana@mail.example", "gamify@mail.example")
    assert got["Subject"] == "Café Ünal: your invitation"
    assert LINK in got.get_content()
    assert "bo@mail.example invites you to Café Ünal" in got.get_content()
    assert got["Date"]
    assert got["Message-ID"].endswith("@mail.example>")


def test_a_reset_arrives_with_its_link(smtp):
    server = smtp()
    send(server.url(), mail.reset(to="ana@mail.example", link=LINK))

    assert LINK in server.mails[0].get_content()


def test_the_user_of_the_address_signs_in(smtp):
    server = smtp()
    send(server.url(user="me%40mail.example:p%3Ass@"), mail.reset(to="ana@mail.example", link=LINK))

    (auth,) = [line for line in server.said if line.startswith("AUTH PLAIN")]
    assert base64.b64decode(auth.split()[-1]) == b"\0me@mail.example\0p:ss"


def test_a_name_cannot_add_lines_to_the_head(smtp):
    server = smtp()
    made = mail.invitation(to="ana@mail.example", inviter="bo", where="A\nBcc: eve@mail.example", link=LINK)
    send(server.url(), made)

    assert server.mails[0]["Bcc"] is None
    assert server.mails[0]["Subject"] == "A Bcc: eve@mail.example: your invitation"


@pytest.mark.parametrize("how", [{"refusing": True}, {"silent": True}])
def test_a_server_that_fails_is_logged_without_link_or_address(smtp, caplog, how):
    server = smtp(**how)
    with caplog.at_level(logging.INFO):
        send(server.url(user="me:hunter2@"), mail.reset(to="ana@mail.example", link=LINK))

    assert "could not be sent" in caplog.text
    told = " ".join(record.getMessage() for record in caplog.records)
    assert not any(secret in told for secret in ("a-token", "ana@", "hunter2"))


def test_the_next_mail_is_sent_after_one_that_failed(smtp):
    server = smtp(refusing=True)
    mailer = Mailer(mail_server.parse(server.url()), is_production=True)
    mailer.send(mail.reset(to="ana@mail.example", link=LINK))
    mailer.drain()
    server.refusing = False
    mailer.send(mail.reset(to="bo@mail.example", link=LINK))
    mailer.drain()

    assert [got["To"] for got in server.mails] == ["bo@mail.example"]


def test_nobody_waits_for_a_server_that_does_not_answer(smtp):
    mailer = Mailer(mail_server.parse(smtp(silent=True).url()), is_production=True)
    begun = time.perf_counter()
    for _ in range(200):
        mailer.send(mail.reset(to="ana@mail.example", link=LINK))

    assert time.perf_counter() - begun < 0.4


def test_encryption_is_the_rule_and_no_mail_goes_without_it(smtp):
    server = smtp()
    send(server.url(options="starttls=1&from=a@mail.example"), mail.reset(to="ana@mail.example", link=LINK))

    assert server.mails == []
    assert mail_server.parse("smtp://mail.example?from=a@b").is_starttls
    assert not mail_server.parse("smtp://localhost?from=a@b").is_starttls
    assert mail_server.parse("smtps://mail.example?from=a@b").is_tls


def test_without_a_server_the_link_is_logged_outside_production_only(caplog):
    with caplog.at_level(logging.INFO):
        Mailer(None, is_production=True).send(mail.reset(to="ana@mail.example", link=LINK))
        assert "a-token" not in caplog.text
        Mailer(None, is_production=False).send(mail.reset(to="ana@mail.example", link=LINK))
        assert LINK in caplog.text


def test_the_address_is_taken_apart():
    server = mail_server.parse("smtps://me%40x:p%2Fw@mail.example", "gamify@mail.example")

    assert (server.host, server.port, server.user, server.password) == ("mail.example", 465, "me@x", "p/w")
    assert server.sender == "gamify@mail.example"
    assert mail_server.parse("smtp://mail.example:25?from=a@b&starttls=0").port == 25
    assert "p/w" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.example?from=a@b",
        "smtp://?from=a@b",
        "smtp://mail.example",
        "smtp://mail.example?from=nobody",
        "smtp://mail.example?from=a@b%0AX",
        "smtp://mail.example?from=a@b&starttls=maybe",
        "smtp://mail.example?from=a@b&tls=1",
        "smtp://me:hunter2@mail.example:hunter2?from=a@b",
        "smtp://me:hunter2@[mail.example?from=a@b",
        "smtp://mail.example/x?from=a@b",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url):
    with pytest.raises(ValueError, match=r".") as refused:
        mail_server.parse(url)

    assert "hunter2" not in str(refused.value)
