"""A client of CAVATICA's API v2, which all Seven Bridges platforms share."""
