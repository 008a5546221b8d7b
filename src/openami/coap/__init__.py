# SPDX-License-Identifier: Apache-2.0
"""CoAP: requests and responses in datagrams that may be lost (RFC 7252, RFC 7959).

One module a chapter: `numbers` the registries, `message` the octets of a message, `block` the
options of block-wise transfer, `layer` acknowledgement, repetition and duplicates, `peer` requests
and responses with one peer.  Who the peer is, and what carries the datagrams, is left to others:
DLMS/COSEM and LwM2M both stand on this room.
"""
