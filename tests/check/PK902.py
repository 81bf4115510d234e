# == bad.py
async def get_client(conf):
    raise ValueError(f"wrong: {conf['api_secret']}")  # found: PK902
# == good.py
async def get_client(conf):
    raise ValueError('no api_secret')
