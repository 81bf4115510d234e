# == bad.py
def mk_quote(msg):
    ticks = [
        {'type': 'ask_size', 'price': 1.0, 'size': 1.0},  # found: PK702
    ]
    return {'symbol': 'a', 'ticks': ticks}
# == good.py
def mk_quote(msg, kind):
    order = {'type': 'limit', 'price': 1.0, 'size': 1.0}
    return {'symbol': 'a', 'ticks': [
        {'type': 'dark_trade', 'price': 1.0, 'size': 1.0},
        {'type': kind, 'price': 1.0, 'size': 1.0},
    ]}
