# == bad.py
import numpy as np
from decimal import Decimal
def mk_tick(msg, size: Decimal):
    price = Decimal(msg.price)
    return [
        {'type': 'trade', 'price': price, 'size': size},  # found: PK701, PK701
        {'type': 'bid', 'price': str(msg.bid), 'size': np.float64(1)},  # found: PK701, PK701
    ]
def mk_quote(ticks):
    return {'symbol': 'a', 'last': '1.0', 'ticks': ticks}  # found: PK701
# == good.py
from decimal import Decimal
def mk_tick(msg):
    order = {'type': 'limit', 'cost': Decimal(1)}
    data = {"type": action, "price": str(msg.price), "volume": str(1), "pair": "a"}
    return {'type': 'trade', 'price': float(msg.price), 'size': msg.size}
# == later.py
def mk_quote(mkt, tick):
    quote = {'symbol': 'a', 'last': mkt.quantize(1), 'ticks': []}  # found: PK701
    quote['last'] = str(tick)  # found: PK701
    other['last'] = str(tick)
    quote['volume'] = float(tick)
