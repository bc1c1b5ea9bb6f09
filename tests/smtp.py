"""A mail server under test."""

import socket
import threading
import time
from email import message_from_bytes, policy


class Smtp:
    """A server that takes mail, on a port of its own."""

    def __init__(self, *, refusing=False, silent=False):
        self.mails, self.said, self.refusing, self.silent = [], [], refusing, silent
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def url(self, user="", options="from=gamify@mail.example"):
        return f"smtp://{user}127.0.0.1:{self.port}?{options}"

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                if not self.silent:
                    self.talk(stream)
                else:
                    time.sleep(0.5)

    def talk(self, stream):
        def say(text):
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        say("220 here")
        while line := stream.readline():
            self.said.append(line.decode().strip())
            verb = line[:4].upper()
            if verb == b"EHLO":
                say("250-here\r\n250-AUTH PLAIN\r\n250 SMTPUTF8")
            elif verb == b"RCPT" and self.refusing:
                say("550 nobody")
            elif verb == b"DATA":
                say("354 go on")
                lines = []
                while (read := stream.readline()) != b".\r\n":
                    lines.append(read)
                self.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))
                say("250 taken")
            elif verb == b"QUIT":
                say("221 bye")
                return
            else:
                say("235 in" if verb == b"AUTH" else "250 fine")

    def close(self):
        self.socket.close()
