"""Why an MQTT server is not reached or does not accept a client, in words. Pure."""

from quartet.errors import QuartetError
from quartet.foreign import shown
from quartet.settings import MqttServer
from quartet.unreached import unreached as why_unreached

NOT_AUTHORIZED = (134, 135)
"""What MQTT calls a wrong user name or password (134) and a client without rights (135)."""

SPEAKS_OTHER = "it speaks neither MQTT 5 nor 3.1.1"

_REFUSALS = {
    132: (SPEAKS_OTHER, "check the address"),
    133: ("it does not accept the client id", "its settings may limit client ids"),
    136: ("it says that it is not available", "see its log"),
}

_CHECK_ADDRESS = "check the address, and that an MQTT server runs there"

CLOSED = "closed"
"""In place of words of the library: the server closed the connection before it answered."""

# The library's words where a server takes the connection, and answers nothing.
_SILENT = "Operation timed out"


class MqttServerError(QuartetError):
    """An MQTT server that cannot be used now: why, and what to do."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(f"{text}: {remedy}")
        self.text = text
        self.remedy = remedy


def refused(code: int, words: str, *, has_login: bool) -> MqttServerError:
    """The server's answer to a connection, by its reason code and its name for that."""
    if code in NOT_AUTHORIZED and has_login:
        text = "it refuses the login: the user name or the password is wrong"
        return MqttServerError(text, "check username and the file of password_file")
    if code in NOT_AUTHORIZED:
        return MqttServerError(
            "it wants a user name and a password, or a certificate",
            "set username and password_file, or certificate and key",
        )
    text, remedy = _REFUSALS.get(
        code, (f"it refuses the connection: {shown(words)}", "see its log")
    )
    return MqttServerError(text, remedy)


def not_allowed(server: MqttServer) -> MqttServerError:
    """It connects this client, and does not take what it publishes."""
    return MqttServerError(
        "it does not let this client publish",
        f"give its user the right to write to {server.topic_prefix}/# and"
        f" {server.discovery_prefix}/device/+/config",
    )


def unreached(error: BaseException | None, words: str, host: str, *, tls: bool) -> MqttServerError:
    """The operating system's error, or OpenSSL's; `words`: what the library says of it."""
    return MqttServerError(*_reason(error, words, host, tls=tls))


def _reason(error: BaseException | None, words: str, host: str, *, tls: bool) -> tuple[str, str]:
    reason = shown(error or words), _CHECK_ADDRESS
    expects = "it may expect no TLS: check the port" if tls else "if it expects TLS, set ca"
    match error:
        case ConnectionResetError() | BrokenPipeError():
            reason = "it closes the connection", expects
        case _ if words == CLOSED:
            reason = "it closes the connection", expects
        case _ if words == _SILENT:
            reason = "it does not answer as an MQTT server", expects
        case OSError() | UnicodeError():
            reason = why_unreached(error, host, "the address", "an MQTT server") or reason
    return reason
