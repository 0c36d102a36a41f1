"""The certificates of this device: whether they fit each other, the agent and the time."""

import os
from datetime import datetime
from pathlib import Path

from agent.check.findings import Finding, Findings, failed, passed, skipped
from agent.check.host import Host
from agent.config import TlsSettings
from quartet.certificates import (
    Certificate,
    expires_soon,
    expiry,
    in_question,
    invalid,
    unfit_for_agents,
)
from quartet.clock import Clock, utc
from quartet.errors import SettingsError
from quartet.inspection import is_of_service
from quartet.pem import (
    SYSTEM,
    is_readable_by_all,
    read_certificate,
    read_identity,
    read_trusted,
    trusted_file,
)


def check_certificates(tls: TlsSettings, agent_id: str, clock: Clock, host: Host) -> Findings:
    """The authorities that this device trusts, and its own certificate."""
    now = utc(clock)
    try:
        yield from _check_authorities(read_trusted(tls.ca).certificates, tls.ca, now)
        if tls.certificate is None or tls.key is None:
            return
        if has_foreign_key(tls):
            yield _check_own(read_certificate(tls.certificate), agent_id, now)
            yield skipped("tls.key", f"{tls.key} is for the service only", host.as_root)
        else:
            identity = read_identity(tls.certificate, tls.key)
            yield _check_own(identity.certificate, agent_id, now)
            if is_readable_by_all(tls.key):
                yield failed(
                    "tls.key", "everybody on this machine can read it", f"chmod 600 {tls.key}"
                )
    except SettingsError as error:
        setting, _, reason = str(error).partition(": ")
        yield failed(setting, reason, f"correct {setting}, or that file")


def _check_authorities(authorities: tuple[Certificate, ...], ca: str, now: datetime) -> Findings:
    """One that is valid is enough, whatever the others are."""
    if ca == SYSTEM:
        yield passed("tls.ca", f"the system's: {trusted_file(ca)}")
        return
    for authority in in_question(authorities, now):
        yield _check_age("tls.ca", authority, "copy the new ca.pem to this device", now)
    if not in_question(authorities, now):
        if len(authorities) == 1:
            yield _check_age("tls.ca", authorities[0], "", now)
            return
        expired = sum(bool(invalid(each, now)) for each in authorities)
        others = f", {expired} of them not valid now" if expired else ""
        yield passed("tls.ca", f"{len(authorities)} authorities{others}")


def has_foreign_key(tls: TlsSettings) -> bool:
    """Whether the key is there, and only the service can read it."""
    path = tls.key
    if path is None or not is_of_service(Path(path), "agent"):
        return False
    return os.path.lexists(path) and not os.access(path, os.R_OK)


def _check_own(certificate: Certificate, agent_id: str, now: datetime) -> Finding:
    if agent_id not in certificate.names:
        return failed(
            "tls.certificate",
            f"names {certificate}, not {agent_id}: the broker would refuse it",
            f"set agent.id, or run 'broker pki issue {agent_id}'",
        )
    if reason := unfit_for_agents(certificate):
        return failed("tls.certificate", f"{certificate}: {reason}", f"broker pki issue {agent_id}")
    return _check_age("tls.certificate", certificate, f"broker pki renew {agent_id}", now)


def _check_age(setting: str, certificate: Certificate, remedy: str, now: datetime) -> Finding:
    if problem := invalid(certificate, now):
        before = now < certificate.not_before
        return failed(
            setting,
            f"{certificate}: {problem}",
            "sudo timedatectl set-ntp true" if before else remedy,
        )
    detail = f"{certificate}: {expiry(certificate, now)}"
    return passed(setting, detail, remedy if expires_soon(certificate, now) else "")
