# SPDX-License-Identifier: Apache-2.0
"""The measuring chain of the metrology module: from sampled waveforms to energy within class."""
