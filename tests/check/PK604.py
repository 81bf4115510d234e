# == bad.py
async def get_client(chan):
    host, port = chan.raddr  # found: PK604
    host, port = addr.unwrap()  # found: PK604
    if actor.reg_addrs[0] == (host, port): ...  # found: PK604
# == good.py
async def get_client(chan):
    host, port = split(url)
    if wrap_address(one).unwrap() == wrap_address(other).unwrap(): ...
    value = result.unwrap()
