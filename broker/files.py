"""The files and directories that a configuration names, looked at before a start."""

import os
from collections.abc import Iterator
from pathlib import Path

from broker.config import Store, TlsSettings
from quartet.clock import Clock
from quartet.distribution import to_install
from quartet.inspection import Remark, inspect_directory, inspect_identity, inspect_pem


def inspect(tls: TlsSettings | None, store: Store | None, clock: Clock) -> Iterator[Remark]:
    """All that is remarkable about what the settings name, in the order of the file."""
    if tls:
        yield from _inspect_tls(tls, clock)
    if not isinstance(store, Path):
        return
    if store.is_dir():
        yield Remark(f"recorder.path: {store} is a directory: name a file in it", fails=True)
    else:
        yield from inspect_directory("recorder.path", store.absolute().parent, "broker")


def _inspect_tls(tls: TlsSettings, clock: Clock) -> Iterator[Remark]:
    try:
        from quartet.certificates import unfit_for_brokers  # noqa: PLC0415 - for TLS alone
        from quartet.pem import read_authorities, read_revoked  # noqa: PLC0415 - for TLS alone
    except ImportError as error:
        yield Remark(f"tls: {error.name} is missing: {to_install('tls')}", fails=True)
        return
    for each in inspect_identity(tls.certificate, tls.key, "broker", clock):
        if isinstance(each, Remark):
            yield each
        elif reason := unfit_for_brokers(each):
            yield Remark(f"tls.certificate: {tls.certificate}: {reason}", fails=True)
    client_ca, crl = tls.client_ca, tls.crl
    if client_ca is None:
        return
    found = list(
        inspect_pem(
            "tls.client_ca",
            client_ca,
            "broker",
            clock,
            lambda: read_authorities("tls.client_ca", client_ca).certificates,
        )
    )
    yield from found
    if crl is None or any(each.fails for each in found) or not os.access(client_ca, os.R_OK):
        return

    def read_list() -> tuple[()]:
        read_revoked(crl, read_authorities("tls.client_ca", client_ca).pem)
        return ()

    yield from inspect_pem("tls.crl", crl, "broker", clock, read_list)
