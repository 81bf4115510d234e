# == bad.py
from piker.clearing._messages import BrokerdStatus
async def get_client():
    BrokerdStatus(status='filled')  # found: PK733
    status = 'cancelled'
    BrokerdStatus(status=status)  # found: PK733
# == good.py
from piker.clearing._messages import BrokerdStatus
async def get_client(status):
    BrokerdStatus(status='closed')
    BrokerdStatus(status=status)
