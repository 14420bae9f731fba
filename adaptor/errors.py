"""The one exception whose message is written for the person who runs a job."""


class AdaptorError(Exception):
    """What went wrong, where, and the way out, in one sentence or two.

    Jobs print the message and exit non-zero; libraries let it pass.
    """


class ConfigError(AdaptorError):
    """A mistake in the config or on the command line, found before anything has started."""
