"""Videos from http(s) addresses and web pages into the cache folder."""
