# == bad.py
async def stream_quotes(task_status):
    inits = {'a': {}}
    task_status.started((inits, {}))  # found: PK704
# == good.py
async def stream_quotes(task_status):
    inits = [FeedInit(mkt)]
    task_status.started((inits, {}))
# == single.py
async def stream_quotes(task_status):
    task_status.started((FeedInit(mkt), {}))  # found: PK704
