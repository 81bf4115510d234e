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
# == passed.py
from piker.clearing._messages import BrokerdStatus
class Flows:
    def emit(self, reqid, status):
        self.send(mk_status(reqid, status))
    def begin(self):
        self.emit(1, 'submitted')  # found: PK733
        self.emit(1, 'open')
def mk_status(reqid, status):
    return BrokerdStatus(status=status)
async def get_client(): ...
