# SPDX-License-Identifier: Apache-2.0
"""`python -m openami`: the same as the `openami` command."""

import sys

from openami.cli.main import main

sys.exit(main())
