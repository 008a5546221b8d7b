# SPDX-License-Identifier: Apache-2.0
"""HDLC: APDUs on serial lines, and wherever such lines are carried (IEC 62056-46).

One module a chapter: `fcs` the check sequences, `address` who speaks, `control` what a frame is,
`frame` its octets and `reader` how frames are found in a stream; `parameters` what SNRM and UA
settle, `llc` the header of an APDU; `states` the state table that both ends run, `transfer` the
numbered frames of one link, `primary` the client's station and `secondary` the server's.
"""
