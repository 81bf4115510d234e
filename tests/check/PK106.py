# == Bad.py
async def get_client(): ...  # found: PK106
# == good2.py
async def get_client(): ...
