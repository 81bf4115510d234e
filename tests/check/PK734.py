# == bad.py
from piker.clearing._messages import BrokerdStatus
async def get_client():
    BrokerdStatus(broker_details={'time': 1})  # found: PK734
# == good.py
from piker.clearing._messages import BrokerdStatus
async def get_client():
    BrokerdStatus(broker_details={'name': 'good'})
    BrokerdStatus(broker_details={'time': 1, **rest})
    BrokerdStatus(broker_details={'name': 'good'} | rest)
