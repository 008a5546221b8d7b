# SPDX-License-Identifier: Apache-2.0
"""The browser of the browser tests serves here as well."""

from browser.conftest import browser

__all__ = ["browser"]
