"""
What is traded.
"""

from ._mktinfo import Asset, MktPair, dec_digits, unpack_fqme

__all__ = ['Asset', 'MktPair', 'dec_digits', 'unpack_fqme']
