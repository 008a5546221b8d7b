# SPDX-License-Identifier: Apache-2.0
"""What a firmware image of this project holds: programs made of the modules they need.

One module a step: `parts` the table of programs and what each may hold, `sources` which modules
they need, `strip` what of them runs, `pack` the program as one file that the interpreter starts,
`start` its first octets, `container` the two programs of one image, `rom` the interpreter and the
libraries they stand on.
"""
