"""One HTML page of what was measured, chosen, paid and noticed: no Spark, no network."""

from importlib.util import find_spec

from adaptor.errors import ConfigError

LIBRARIES = ("altair", "vl_convert", "jinja2", "openTSNE", "sklearn")


def require_libraries() -> None:
    """`ConfigError` where the extra is not installed."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"a report needs {', '.join(missing)}, not installed here; pip install 'matryoshka-adaptor[report]'"
        )
