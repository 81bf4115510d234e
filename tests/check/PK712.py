# == bad.py
def get_cost(price, size, is_taker=False):
    fee = 0.2 if is_taker else 0.1  # found: PK712
    return fee * abs(size)
# == good.py
def get_cost(price, size, is_taker=False):
    fee = 0.2 if price else 0.1
    return fee * abs(size)
