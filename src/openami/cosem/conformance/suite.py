# SPDX-License-Identifier: Apache-2.0
"""All cases, which of them are wanted, and in which order a meter meets them."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from openami.cosem.conformance import (
    clients,
    data_access,
    data_blocks,
    data_ln,
    data_sn,
    data_windows,
    data_writing,
    hdlc_frames,
    hdlc_links,
    hdlc_shared,
    hls,
    objects,
    objects_named,
    objects_writing,
    opening,
    pairs,
    pairs_certificates,
    pairs_keys,
    pairs_policy,
    profiles,
    pushes,
    pushes_on_line,
    pushes_protected,
    release,
    symsec,
    symsec_dedicated,
    symsec_keys,
)
from openami.cosem.conformance.case import Case
from openami.cosem.conformance.declaration import Declaration, DeclaredAssociation

CASES: Final[tuple[Case, ...]] = (
    *hdlc_frames.CASES,
    *hdlc_links.CASES,
    *hdlc_shared.CASES,
    *opening.CASES,
    *hls.CASES,
    *data_ln.CASES,
    *data_writing.CASES,
    *data_access.CASES,
    *data_blocks.CASES,
    *data_windows.CASES,
    *data_sn.CASES,
    *release.CASES,
    *clients.CASES,
    *objects.CASES,
    *objects_named.CASES,
    *objects_writing.CASES,
    *profiles.CASES,
    *pushes.CASES,
    *pushes_protected.CASES,
    *pushes_on_line.CASES,
    *symsec.CASES,
    *data_access.UNDER_KEYS,
    *symsec_dedicated.CASES,
    *symsec_keys.CASES,
    *pairs.CASES,
    *pairs_certificates.CASES,
    *pairs_keys.CASES,
    *pairs_policy.CASES,
)

BY_ID: Final = {case.id: case for case in CASES}


class Planned(NamedTuple):
    """A case and the association that it is put to; None for the data link."""

    case: Case
    association: DeclaredAssociation | None

    @property
    def key(self) -> str:
        """What the step is called in a report, the same in each run."""
        return f"{self.case.id}/{self.association.name}" if self.association else self.case.id


def plan(cases: Iterable[Case], declaration: Declaration) -> Iterator[Planned]:
    """Yield what is to be run, in order: the data link, each association, and then
    what leaves the meter so that nothing else could be run.
    """
    chosen = list(cases)
    for case in chosen:
        if not case.by_association:
            yield Planned(case, None)
    for is_last in (False, True):
        for association in declaration.associations:
            for case in chosen:
                if case.by_association and case.last is is_last:
                    yield Planned(case, association)
