# SPDX-License-Identifier: Apache-2.0
"""APDUs and frames as XML, and back, octet for octet.

The form is our own: elements carry the names of IEC 62056-5-3, 9.5, in its order, written with
hyphens.  `openami-apdu.xsd` beside this module is its schema; it conforms to no other.  `document`
is the way in: `to_xml` and `from_xml`.
"""
