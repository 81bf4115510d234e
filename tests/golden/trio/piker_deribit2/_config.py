"""
What this backend is called: by hosts, in names of markets and accounts, in settings.
"""

NAME: str = 'deribit2'
