"""Why a server is not reached, in words and with a remedy: the same for all protocols. Pure."""

import errno
import re
import socket
import ssl

from quartet.foreign import shown

_NETWORK = {
    errno.EHOSTUNREACH: ("that machine cannot be reached", "check the network"),
    errno.ENETUNREACH: ("there is no way to that network", "check the network"),
}

# Of asyncio, where none of several addresses answers.
_NUMBER = re.compile(r"\[Errno ([0-9]+)\]")


def unreached(
    error: OSError | UnicodeError, host: str, setting: str, server: str
) -> tuple[str, str] | None:
    """What an error of the operating system or of OpenSSL means, and a remedy; None: it says more.

    `setting`: what names the server in the configuration. `server`: what should run there.
    """
    match error:
        case socket.gaierror() | UnicodeError():  # a part of the name is empty, or too long
            return f"the name {shown(host)} is not known", f"check {setting}"
        case ssl.SSLError():
            return _by_tls(error, setting)
        case TimeoutError():
            return "it does not answer", f"check {setting}, and that {server} runs there"
    number = error.errno
    if number is None and (named := _NUMBER.search(str(error))):
        number = int(named[1])
    if number == errno.ECONNREFUSED:
        return "nothing listens there", f"check {setting}, and that {server} runs there"
    return _NETWORK.get(number) if number else None


def _by_tls(error: ssl.SSLError, setting: str) -> tuple[str, str]:
    match error:
        case ssl.SSLCertVerificationError():
            said = shown(error.verify_message or error)
            remedy = f"check ca, {setting} and this computer's clock"
            return f"its certificate is not accepted: {said}", remedy
        case ssl.SSLEOFError() | ssl.SSLError(reason="WRONG_VERSION_NUMBER"):
            return "it does not answer by TLS", "check the port"
    return f"TLS fails: {shown(error.reason or error)}", "see its log"
