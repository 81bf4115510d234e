# == bad.py
async def get_client(self):
    log.info(f'with {self.api_secret}')  # found: PK901
    request = {'event': 'add', 'token': token} | extra
    log.debug(pformat(request))  # found: PK901
    print(conf['api_key'])  # found: PK901
# == good.py
async def get_client(self):
    log.info(f'with {len(self.api_secret)} and {bool(self.api_key)}')
    log.info('yes' if self.api_key else 'no')
    request = {'event': 'add', 'token': '...'}
    log.debug(pformat(request))
    log.info(f'{self.name} has no api_key')
    math.log(secret)
# == twice.py
async def get_client(conf):
    entries = {}
    entries = {'api_secret': conf.read()}
    log.debug('%s', entries)  # found: PK901
    request = {'token': token}
    log.debug(request)
    request = await read()
