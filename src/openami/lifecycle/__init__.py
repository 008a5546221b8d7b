# SPDX-License-Identifier: Apache-2.0
"""Device life cycle: certificates and provisioning."""
