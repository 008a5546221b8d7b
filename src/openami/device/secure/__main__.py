# SPDX-License-Identifier: Apache-2.0
"""The secure world as a program of the package; whoever gives the device its power starts it."""

import sys

from openami.device.secure.process import main

sys.exit(main(sys.argv[1:]))
