# == bad/__init__.py
known = {}
async def get_mkt_info(fqme):
    known[mkt.bs_fqme] = mkt
def find(mkt):
    return known[mkt.fqme]  # found: PK402
# == good/__init__.py
known = {}
async def get_mkt_info(fqme):
    known[mkt.bs_fqme] = mkt
    known[mkt.fqme] = mkt
def find(mkt):
    return known[mkt.fqme]
# == unsure/__init__.py
known = {}
async def get_mkt_info(fqme):
    known[fqme] = mkt
def find(mkt):
    return known[mkt.fqme]
