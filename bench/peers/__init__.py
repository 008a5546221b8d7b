# SPDX-License-Identifier: Apache-2.0
"""Programs that run under .venv-peers, as processes of their own; nothing here is imported."""
