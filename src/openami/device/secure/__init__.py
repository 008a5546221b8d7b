# SPDX-License-Identifier: Apache-2.0
"""The secure world as a process of its own, and the wall around it.

One module a step: `codec` octets of a call, `calls` the table of functions, `access` who may call
what and how much, `world` what stands on flash and fuses, `service` calls carried out, `process`
sockets and credentials, `hardening` what a process gives up, `client` the other side of the wall.
"""
