"""`piker-new check`: which rules of piker and tractor a backend keeps.

It reads what it checks and never imports it.
"""
