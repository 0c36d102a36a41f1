"""A mail server that passes messages on to people."""

import asyncio
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from broker.notify.config import MailSettings
from broker.notify.message import TEST, Message
from broker.notify.secrets import read_secret
from broker.notify.target import DeliveryError
from broker.notify.webhook import tls_context
from quartet.errors import SettingsError
from quartet.foreign import shown
from quartet.unreached import unreached

# Within which the thread ends, once its try is cut off. The library's own bound comes no sooner.
_CUT_S = 1.0


class Mail:
    """One mail to all receivers. The library waits in a thread of its own, and is cut off there."""

    def __init__(self, settings: MailSettings) -> None:
        """SettingsError for authorities that cannot be read."""
        self.name = f"mail {settings.host}"
        self._settings = settings
        is_open = settings.security == "none"
        self._tls = None if is_open else tls_context("mail.ca", settings.ca)
        self._thread = ThreadPoolExecutor(1, "mail")

    async def send(self, message: Message) -> str:
        """Hand it to the server once."""
        settings = self._settings
        attempt = _Attempt(settings, self._tls)
        mail = letter(settings, message)
        sending = asyncio.get_running_loop().run_in_executor(self._thread, attempt.send, mail)
        # Once it is cut off, nobody else asks why it failed, and asyncio would log that.
        sending.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        try:
            async with asyncio.timeout(settings.timeout_s):
                await asyncio.shield(sending)
        except TimeoutError as error:
            raise DeliveryError(f"not accepted within {settings.timeout_s:g} s") from error
        finally:
            attempt.cut()
            await asyncio.wait([sending], timeout=_CUT_S)
        return "accepted"


class _Attempt:
    """One connection, which another thread may cut."""

    def __init__(self, settings: MailSettings, tls: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._tls = tls
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None  # guarded by: the lock
        """A copy of the connection's, which stays whatever TLS is put around that."""
        self._is_cut = False  # guarded by: the lock

    def cut(self) -> None:
        """Have whatever waits for the server end now."""
        with self._lock:
            self._is_cut = True
            if self._socket:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return

    def send(self, mail: EmailMessage) -> None:
        """DeliveryError, as Target has it."""
        settings = self._settings
        try:
            password = (
                read_secret("mail.password_file", settings.password_file)
                if settings.password_file
                else ""
            )
            with self._connected() as server:
                if settings.security == "starttls":
                    server.starttls(context=self._tls)
                if settings.user:
                    server.login(settings.user, password)
                refused = server.send_message(mail)
        except SettingsError as error:
            raise DeliveryError(str(error)) from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise _failure(error, settings) from error
        finally:
            self._release()
        if refused:
            raise DeliveryError(f"refused {', '.join(map(shown, refused))}", is_final=True)

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        tls = self._tls if settings.security == "tls" else None
        return _Smtp(settings, tls, self._hold)

    def _hold(self, connection: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                connection.close()
                raise TimeoutError("cut off")
            self._socket = connection.dup()

    def _release(self) -> None:
        with self._lock:
            if self._socket:
                self._socket.close()
                self._socket = None


class _Smtp(smtplib.SMTP):
    """Tells of its connection before it waits for TLS and the greeting, which may never end."""

    def __init__(
        self,
        settings: MailSettings,
        tls: ssl.SSLContext | None,
        hold: Callable[[socket.socket], None],
    ) -> None:
        self._tls = tls
        self._hold = hold
        # Not the name that DNS may have for this machine: that is looked for, and takes long.
        name = socket.gethostname() or "localhost"
        super().__init__(settings.host, settings.port_to_use, name, settings.timeout_s + _CUT_S)

    def connect(
        self,
        host: str = "localhost",
        port: int = 0,
        source_address: object = None,  # noqa: ARG002 - of the library, which gives none
    ) -> tuple[int, bytes]:
        """Connect, with TLS where it is there from the begin, and read the greeting."""
        connection = socket.create_connection((host, port), self.timeout)
        self._hold(connection)
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_hostname=host)
        self.sock, self.file = connection, None
        return self.getreply()


def letter(settings: MailSettings, message: Message) -> EmailMessage:
    """The mail. Its Message-ID is the same at each try: mail programs show it once."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.to)
    mail["Subject"] = f"[Quartet] {message.subject}"
    mail["Date"] = formatdate(message.at_ns / 1e9, localtime=True)
    mail["Message-ID"] = f"<{message.id}@{settings.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    if message.kind != TEST:
        mail["X-Quartet-Kind"] = message.kind
    mail.set_content(f"{message.text}\n", charset="utf-8")
    return mail


def _failure(error: Exception, settings: MailSettings) -> DeliveryError:
    """What a failed try says to a person."""
    text, is_final = shown(error) or "closed the connection", False
    port = settings.port_to_use
    match error:
        case smtplib.SMTPAuthenticationError():
            text = "refused the sign-in: check user and password_file"
        case smtplib.SMTPNotSupportedError():
            text = f"{text}: check security and port"
        case smtplib.SMTPRecipientsRefused():
            text = "refused all receivers: check 'to'"
            is_final = all(code >= 500 for code, _ in error.recipients.values())
        case smtplib.SMTPResponseException() if error.smtp_code < 0:
            text = f"port {port}: it does not speak SMTP: check security and port"
        case smtplib.SMTPResponseException():
            said = error.smtp_error
            answer = said.decode(errors="replace") if isinstance(said, bytes) else said
            text = f"answered {error.smtp_code} {shown(answer)}"
            is_final = isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500
        case smtplib.SMTPException():
            text = f"port {port}: {text}: check security and port"
        case OSError():
            found = unreached(error, settings.host, "host and port", "a mail server")
            said, remedy = found or (shown(error.strerror or error), "check host and port")
            text = f"port {port}: {said}: {remedy}"
    return DeliveryError(text, is_final=is_final)
