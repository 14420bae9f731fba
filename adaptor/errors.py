"""What goes wrong, in words for the person who runs a job."""


class AdaptorError(Exception):
    """What went wrong, where, and the way out, in one sentence or two.

    Jobs print the message and exit non-zero; libraries let it pass.
    """


class ConfigError(AdaptorError):
    """A mistake in the config or on the command line, found before anything has started."""


def cause(error: BaseException) -> str:
    """The line of an error that says what happened.

    Of a Python worker's error that is the last line of its trace, also where it could not start; of a
    Java one the last "Caused by".
    """
    if isinstance(error, AdaptorError):
        return str(error)
    lines = [line for line in str(error).splitlines() if line.strip()]
    if "Error from python worker:" in lines and "PYTHONPATH was:" in lines:
        return lines[lines.index("PYTHONPATH was:") - 1].strip()
    for line in lines:
        if line.startswith("adaptor.errors."):
            return line.partition(": ")[2]
    if any(line.endswith("Traceback (most recent call last):") for line in lines):
        return [line for line in lines if not line.startswith((" ", "\t"))][-1]
    caused = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return caused[-1] if caused else f"{type(error).__name__}: {lines[0].strip() if lines else 'no message'}"


class GateFailed(AdaptorError):
    """A rule of the gate does not hold: the job did its work, and what it measured is not good enough."""
