# SPDX-License-Identifier: Apache-2.0
"""What every process needs: clock, configuration, logs, supervision."""
