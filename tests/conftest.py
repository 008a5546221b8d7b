# SPDX-License-Identifier: Apache-2.0
"""Properties are judged by their truth, never by how long a busy machine took."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "openami", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("openami")
