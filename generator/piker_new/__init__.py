"""piker-new: generate backends for piker that run from the first minute."""

__version__ = '0.1.0'
