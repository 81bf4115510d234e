# == bad.py
async def open_history_client(mkt):
    raise DataUnavailable  # found: PK722
async def get_hist():
    raise DataUnavailable()  # found: PK722
# == good.py
async def open_history_client(mkt):
    raise DataUnavailable('no bars of 5 s')
async def get_hist():
    raise NoData
