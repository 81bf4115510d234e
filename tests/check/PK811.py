# == bad/__init__.py
from piker.accounting import MktPair  # found: PK811
from ._piker import Asset
async def get_client(): ...
# == bad/_piker.py
from piker.accounting import Asset
# == old/__init__.py
from piker.accounting import MktPair
async def get_client(): ...
