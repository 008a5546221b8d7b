# SPDX-License-Identifier: Apache-2.0
"""Certificates of an authority that lives as long as one run."""

from dataclasses import replace
from pathlib import Path

from openami.lifecycle.authority import Authority
from openami.transport.tls import Expected, Role, Secured, TlsIdentity, client_tls, server_tls
from openami.transport.tlspolicy import DEFAULT_POLICY, Policy

METER = b"OAM\x00\x00\x00\x00\x01"
CONCENTRATOR = b"OAM\xc0\x00\x00\x00\x01"
HEAD_END = b"OAM\xe0\x00\x00\x00\x01"


class Identities:
    """A meter, a concentrator and a head-end, as files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = Authority.create(folder / "ca")
        self._meter = self._issue("meter", METER, Role.METER)
        self._concentrator = self._issue("concentrator", CONCENTRATOR, Role.CONCENTRATOR)
        self._head_end = self._issue("head-end", HEAD_END, Role.HEAD_END)

    def _issue(self, name: str, title: bytes, role: Role) -> TlsIdentity:
        credentials = self._authority.issue(title, role)
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        certificate.write_bytes(credentials.certificate)
        key.write_bytes(credentials.key)
        return TlsIdentity(self._folder / "ca" / "ca.crt", certificate, key)

    def meters_listen(self) -> dict[str, object]:
        """Return what `bench.serving` needs for meters that a head-end dials."""
        return _served(self._meter, Role.HEAD_END)

    def client_dials(self) -> Secured:
        """Return the side that dials those meters."""
        return Secured(client_tls(self._head_end), Expected(roles=frozenset({Role.METER})))

    def concentrator_listens(self) -> dict[str, object]:
        """Return what `bench.serving` needs for a concentrator that meters dial."""
        return _served(self._concentrator, Role.METER)

    def meter_dials(self, policy: Policy = DEFAULT_POLICY) -> Secured:
        """Return the side that dials that concentrator."""
        identity = replace(self._meter, policy=policy)
        return Secured(client_tls(identity), Expected(roles=frozenset({Role.CONCENTRATOR})))

    def meter_files(self) -> dict[str, object]:
        """Return what `bench.serving` needs for meters that dial that concentrator."""
        return _served(self._meter, Role.CONCENTRATOR)

    def concentrator_admits(self, policy: Policy) -> Secured:
        """Return the side that meters dial."""
        identity = replace(self._concentrator, policy=policy)
        return Secured(server_tls(identity), Expected(roles=frozenset({Role.METER})))

    def openssl(self, name: str) -> list[str]:
        """Return the files of `meter` or `concentrator` as OpenSSL's programs take them."""
        files = {"-cert": f"{name}.crt", "-key": f"{name}.key", "-CAfile": "ca/ca.crt"}
        return [
            word for option, file in files.items() for word in (option, str(self._folder / file))
        ]


def _served(identity: TlsIdentity, peer_role: Role) -> dict[str, object]:
    paths = (identity.ca, identity.certificate, identity.key)
    return {"identity": [str(path) for path in paths], "peer_role": str(peer_role)}
