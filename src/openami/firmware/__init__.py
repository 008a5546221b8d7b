# SPDX-License-Identifier: Apache-2.0
"""Firmware: images in MCUboot's format, two banks, and a boot that always finds a valid image.

One module a chapter: `image` and `tlv` the octets, `sign`, `encrypt` and `verify` what protects
them, `flash` and `bank` where they lie, `state` what a boot remembers, `boot` which image runs,
`update` how a new one comes.  Who transfers the blocks, and who runs the image, is left to others.
"""
