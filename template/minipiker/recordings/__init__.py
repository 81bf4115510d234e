"""
What the real venue said, kept in files: made, made smaller, and compared with what the
backend expects.
"""
