# SPDX-License-Identifier: Apache-2.0
"""What every process needs: calendar, configuration, layout of `var`, durable files, status."""
