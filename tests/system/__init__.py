# SPDX-License-Identifier: Apache-2.0
"""The whole AMI as processes, on an accelerated calendar."""
