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
# == parts.py
async def get_client(actor):
    for host, port in actor.reg_addrs: ...  # found: PK604
    print(actor.reg_addrs[0][1])  # found: PK604
    for addr in actor.reg_addrs: ...
