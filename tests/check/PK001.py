# == bad.py
async def get_client():
    raise DataUnavailable  # piker: ignore[PK722] nobody logs it
    raise NoData  # piker: ignore[PK722] it has one  # found: PK001
    # piker: ignore[PK722] a long line follows
    raise DataUnavailable
