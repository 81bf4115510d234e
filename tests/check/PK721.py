# == bad.py
from datetime import datetime
async def open_history_client(mkt):
    async def get_hist(timeframe, end_dt=None, start_dt=None):
        start = datetime.fromtimestamp(1)
        return frame, start, end  # found: PK721
    yield get_hist, {}
# == good.py
import pendulum
async def open_history_client(mkt):
    async def get_hist(timeframe, end_dt=None, start_dt=None):
        start = pendulum.from_timestamp(1)
        return frame, start, end
    yield get_hist, {}
