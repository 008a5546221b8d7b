# SPDX-License-Identifier: Apache-2.0
"""The pages: utility console and household app."""
