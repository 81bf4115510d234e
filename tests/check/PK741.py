# == piker/brokers/__init__.py
# == piker/__init__.py
# == backend: piker/brokers/bad/__init__.py
from .symbols import Pair
class Spot(Struct):
    ns_path: str = 'piker.brokers.bad:Spott'  # found: PK741
class Perp(Struct):
    ns_path: str = 'piker.brokers.bad:Spot'  # found: PK741
class Other(Struct):
    ns_path: str = 'piker.brokers.kraken:Pair'  # found: PK741
# == piker/brokers/bad/symbols.py
class Pair(Struct):
    ns_path: str = 'piker.brokers.bad:Pair'
class Whole(Struct):
    ns_path: str = 'piker.brokers.bad.symbols:Whole'
