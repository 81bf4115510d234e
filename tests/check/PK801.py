# == bad.py
import asks  # found: PK801
from piker.service import Services  # found: PK801
from piker.data._sharedmem import ShmArray  # found: PK801
async def get_client(): ...
# == good.py
import httpx
from piker.accounting import MktPair
async def get_client(): ...
