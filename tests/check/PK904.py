# == bad.py
async def get_client(an, portal, conf):
    await an.start_actor('x', api_key=conf.key)  # found: PK904
    async with portal.open_context(f, key=conf.api_secret): ...  # found: PK904
# == good.py
async def get_client(an, portal, conf):
    await an.start_actor('x', account='main')
    async with portal.open_context(f, fqme='a'): ...
    trio.run(main, conf.api_secret)
