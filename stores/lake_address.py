"""Where the Iceberg tables are; apart from the lake, because settings are read by much that never asks it.

pyiceberg, with pandas and SQLAlchemy, takes 0.8 s of CPU to import.
"""

from typing import NamedTuple


class LakeAddress(NamedTuple):
    """Catalog (SQLAlchemy URI), warehouse (URI), namespace, S3 endpoint (None on AWS) and region."""

    catalog_uri: str
    warehouse: str
    namespace: str
    s3_endpoint: str | None
    s3_region: str
