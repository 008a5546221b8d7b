# SPDX-License-Identifier: Apache-2.0
"""What objects do by themselves, class by class (DLMS UA 1000-1 Ed. 12, 4.3 to 4.7).

The tables of the classes stand in `openami.cosem`; here stands what happens behind them: rows are
captured, scripts run, limits trip, credit is used up.  `acting` says how time and other objects
reach an object; each other module is one class or a few that work together.
"""
