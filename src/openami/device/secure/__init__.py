# SPDX-License-Identifier: Apache-2.0
"""The secure world as a process of its own, and the wall around it.

==============  ==========================================================================
module          what, in the order of a call
==============  ==========================================================================
``ciphering``   the COSEM server's side: stands for keys that are behind the wall
``client``      calls as functions
``calls``       the table of functions
``codec``       their octets, both ways
``crossing``    protections and refusals of DLMS/COSEM as octets
``door``        a socket, and whom the system names at its other end
``process``     the loop behind it
``hardening``   what the process gives up
``access``      who may call what, and how much of it
``service``     calls carried out; ``dlmscalls`` those of DLMS/COSEM
``channels``    keys, windows and counters of DLMS/COSEM
``world``       what stands on flash and fuses
==============  ==========================================================================
"""
