# == bad/__init__.py
from piker import config
conf, path = config.load('brokers')  # found: PK406
async def stream_quotes(): ...
# == good/__init__.py
from piker import config
async def stream_quotes():
    config.load('brokers')
if __name__ == '__main__':
    config.load('brokers')
