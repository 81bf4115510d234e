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
# == called/__init__.py
from piker import config
def read_url():
    return config.load('brokers')[0]['url']
def retry():
    def decorator(function):
        return read_url()
    return decorator
url = read_url()  # found: PK406
@retry()
async def stream_quotes(): ...
