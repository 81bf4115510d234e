# == bad.py
def get_cost(price, size, is_taker=False):
    return 0.001 * price * size  # found: PK711
# == good.py
def get_cost(price, size, is_taker=False):
    return 0.001 * price * abs(size)
# == fixed.py
def get_cost(price, size, is_taker=False):
    return 1.0
# == branch.py
def get_cost(price, size, is_taker=False):
    if size < 0:
        size = -size
    return price * size
