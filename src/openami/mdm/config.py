# SPDX-License-Identifier: Apache-2.0
"""`mdm/config.toml` as frozen values (docs/provisioning.md, 2.7).

The tables `[vee]` and `[publish]` may be left out; every key in them has a default.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

from openami.mdm.vee.limits import Limits
from openami.runtime.config import ConfigFile
from openami.store.database import url_of


@dataclass(frozen=True, slots=True, kw_only=True)
class MdmConfig:
    """What meter data management is told."""

    zone: ZoneInfo  # of local days
    capture_period_s: int  # of the load profiles
    database: str  # SQLAlchemy URL
    lake: Path
    limits: Limits = field(default_factory=Limits)
    publish: str = ""  # nats:// of the broker for readings and events; empty: none

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read `config.toml` in `home`.

        Raises:
            ConfigurationError: It is missing, or something in it is wrong.
        """
        file = ConfigFile(home / "config.toml")
        mdm, store = file.table("mdm"), file.table("store")
        publish = file.table("publish")
        period_s = mdm.whole("capture_period_s", 1800, least=1, most=86_400)
        if 86_400 % period_s:
            raise mdm.refused("capture_period_s", "seconds that divide a day")
        config = cls(
            zone=mdm.zone("zone", "Australia/Sydney"),
            capture_period_s=period_s,
            database=url_of(store.text("database", "../openami.db"), home),
            lake=store.path("lake", "../lake"),
            limits=file.table("vee").settings(Limits, Limits.of_period(period_s)),
            publish=publish.text("url", ""),
        )
        file.refuse_unknown()
        if config.publish and not config.publish.startswith(("nats://", "tls://")):
            raise publish.refused("url", "nats://HOST:PORT or tls://HOST:PORT")
        return config
