"""Names in SQL: taken apart once, quoted wherever SQL is written."""

import re

from adaptor.errors import AdaptorError

QUOTED = r"`(?:[^`]|``)*`"
PART = re.compile(rf"({QUOTED}|[^`.]+)(\.|\Z)")
PLAIN = re.compile(r"\w+")


def quoted(name: str) -> str:
    """A name in SQL, whatever it holds."""
    return f"`{name.replace('`', '``')}`"


def spelled(name: str) -> str:
    """A part of a name as people write it: in back-quotes only where it needs them."""
    return name if PLAIN.fullmatch(name) else quoted(name)


def parts_of(name: str) -> tuple[str, ...]:
    """A name such as ``catalog.`my schema`.docs`` taken apart at its dots, without back-quotes.

    Between back-quotes a part may hold anything, a back-quote itself written twice; outside of them
    anything but dots and back-quotes. Raises `AdaptorError` for what is no such name.
    """
    parts, end, more = [], 0, True
    while more:
        part = PART.match(name, end)
        if part is None:
            raise AdaptorError(
                f"{name!r} is no name: write catalog.schema.table, each part in `back-quotes` if need be"
            )
        parts.append(part[1][1:-1].replace("``", "`") if part[1].startswith("`") else part[1])
        end, more = part.end(), bool(part[2])
    return tuple(parts)


def is_path(where: str) -> bool:
    """Whether a table is named by a path or URL: by a slash that stands outside of back-quotes."""
    return "/" in re.sub(QUOTED, "", where)
