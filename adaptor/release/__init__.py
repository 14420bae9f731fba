"""Which version of an artifact is current, which one is a candidate, and which one wrote a table. No Spark in here."""

from adaptor.release.versions import Version, Versions, publish

__all__ = ["Version", "Versions", "publish"]
