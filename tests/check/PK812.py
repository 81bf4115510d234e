# == bad/__init__.py
from bad.api import get_client  # found: PK812
# == bad/_piker.py
# == bad/api.py
async def get_client(): ...
# == good/__init__.py
from .api import get_client
# == good/_piker.py
# == good/api.py
async def get_client(): ...
