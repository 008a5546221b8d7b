# SPDX-License-Identifier: Apache-2.0
"""Reading what was recorded or overheard: frames, sessions, pushes, faults and habits."""
