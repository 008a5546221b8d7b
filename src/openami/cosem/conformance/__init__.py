# SPDX-License-Identifier: Apache-2.0
"""Conformance tests for any DLMS/COSEM meter, after the abstract test cases of the DLMS UA.

A case is a value: what it is called, which clause it holds the meter to, what it needs, and a
generator that yields what is to be put on the line and judges what comes (`case`).  Nothing here
does input or output: `runner` steps a case, whoever has a line moves the octets.  `declaration`
says what the meter under test claims to be; `suite` holds all cases.
"""
