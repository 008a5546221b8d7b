# SPDX-License-Identifier: Apache-2.0
"""Link models of what carries meters' data: power line, radio mesh, cellular, Wi-Fi, lines.

`parameters` says what a bearer is, `presets.toml` has the usual ones, `medium` is what several
devices share, `link` decides the fate of a packet, `sender` queues and repeats.  `discrete` runs
both ends of a connection on simulated time; `relay` stands between two processes in real time.
"""
