# == piker/__init__.py
# == piker/brokers/__init__.py
from ._util import BrokerError
# == piker/brokers/_util.py
class BrokerError(Exception): ...
# == piker/data/__init__.py
def __getattr__(name): ...
# == backend: piker/brokers/bad/__init__.py
from piker.brokers import BrokerError, open_cached_client  # found: PK802
from piker.brokers._util import BrokerError
from piker.data import feed
from .._util import Throttle  # found: PK802
try:
    from piker.brokers import maybe
except ImportError:
    pass
async def get_client(): ...
