"""
Market data: live feeds, history, symbol search, and the actors that serve them.
"""
