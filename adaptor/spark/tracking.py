"""A record of a fit in MLflow: parameters, figures, curves, the artifact and its card, written when all is over."""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptor.config import Config, TrackingSettings
from adaptor.errors import ConfigError, cause
from adaptor.fitting.report import versions
from adaptor.spark.runs import Figure
from adaptor.storage import is_local, open_folder, read_whole

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from adaptor.spark.fit import Fitted

SERVERS = {"http", "https", "databricks"}
DATABASES = {"sqlite", "postgresql", "mysql", "mssql"}
READ_BY_A_FIT = {"source", "sample", "dims", "bytes", "artifact", "query_log", "fit", "workers"}
FOLDER = "artifact"  # of the run's files

# MLflow's own limits.
LONGEST_PARAMETER, LONGEST_TAG, LONGEST_WORD = 6000, 8000, 100
REFUSED = re.compile(r"[^\w-]+")  # of what may stand between the slashes of a name

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nobody was asked whether the makers of MLflow may hear of a fit
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a line of ours says where the run is
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # by default the fit would wait four minutes for a server that is down
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


def require_mlflow(uri: str) -> None:
    """`ConfigError` where MLflow is not installed, or what `uri` needs; nobody is asked whether a server answers."""
    scheme = re.split("[:+]", uri, maxsplit=1)[0]
    known = SERVERS | DATABASES | {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}
    if scheme not in known:
        raise ConfigError(f"tracking.uri begins with {scheme}:, which is none of {', '.join(sorted(known))}")
    modules = ["mlflow", *(("sqlalchemy", "alembic") if scheme in DATABASES else ())]
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"tracking needs {', '.join(missing)}, not installed here; pip install 'matryoshka-adaptor[tracking]', "
            "or take tracking out of the config"
        )
    if scheme in DATABASES:
        _require_driver(uri)


def _require_driver(uri: str) -> None:
    """`ConfigError` where a database's URI can't be read, or Python can't speak to such a database."""
    import sqlalchemy

    try:
        sqlalchemy.create_engine(uri)  # connects to nothing
    except ImportError as error:
        raise ConfigError(f"tracking.uri needs {error.name}, not installed here; pip install {error.name}") from error
    except sqlalchemy.exc.ArgumentError as error:
        raise ConfigError(f"tracking.uri is no address of a database: {cause(error)}") from error


def track(
    config: Config,
    settings: TrackingSettings,
    fitted: Fitted,
    figures: Sequence[Figure],
    report: Callable[[str], None],
) -> None:
    """Log the fit as a finished run. Where that fails a line says so: the fit has done its work, its version stays.

    A fit that is killed leaves no run; one that is killed in here leaves a failed one, as does a failure.
    """
    where = f"experiment {settings.experiment} of {_without_password(settings.uri)}"
    try:
        with _environment():
            import mlflow  # noqa: F401 - which sets the level of its own lines

            with _silence():
                run = _log(config, settings, fitted, figures)
    except Exception as error:  # of a server, a database, an object store: each has errors of its own
        report(
            f"tracking: version {fitted.adaptor.version} is kept, but {where} has no whole record of it: "
            f"{_without_password(_why(error))}"
        )
    else:
        report(f"tracking: run {run} in {where}")


def _log(config: Config, settings: TrackingSettings, fitted: Fitted, figures: Sequence[Figure]) -> str:
    """The id of the run."""
    from mlflow import MlflowClient
    from mlflow.entities import Param

    client, adaptor, now = MlflowClient(settings.uri), fitted.adaptor, int(1000 * time.time())
    known = client.get_experiment_by_name(settings.experiment)
    experiment = known.experiment_id if known else client.create_experiment(settings.experiment)
    card = (read_whole(fitted.path, "README.md") or b"").decode()
    tags = {"fingerprint": adaptor.fingerprint, "mlflow.note.content": card[:LONGEST_TAG]}
    begun = client.create_run(experiment, now - int(1000 * fitted.seconds), tags, run_name=adaptor.version)
    run = str(begun.info.run_id)
    client.set_terminated(run, "FAILED")  # until all of it is there: whatever ends this process, no run seems to go on
    parameters = [
        Param(name, _without_password(value)[:LONGEST_PARAMETER]) for name, value in _parameters(config, fitted).items()
    ]
    client.log_batch(run, metrics=_metrics(fitted, figures, now), params=parameters)
    _log_folder(client, run, fitted.path)
    client.set_terminated(run, "FINISHED", now)
    return run


def _parameters(config: Config, fitted: Fitted) -> dict[str, str]:
    """What the fit was asked for, key by key, and what it was made with and came to.

    Other sections stay out: they are not the fit's, and a webhook's address is a secret.
    """
    asked = _flat(config.model_dump(mode="json", include=READ_BY_A_FIT))
    made = {f"version.{name}": version for name, version in versions().items()}
    came_to = {
        "source.version": json.dumps(fitted.source.version),  # the one that was read, where the config says null
        "chosen": str(fitted.adaptor.config["candidate"]),
        "rows": str(fitted.adaptor.config["rows"]),
        "held_out_rows": str(fitted.report.held_out_rows),
        "fingerprint": fitted.adaptor.fingerprint,
    }
    return asked | made | came_to


def _flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Keys with dots, as `--set` takes them, and what stands there: text as it is, everything else as JSON."""
    flat: dict[str, str] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def _metrics(fitted: Fitted, figures: Sequence[Figure], now: int) -> list[Metric]:
    """Held-out figures by candidate, metric and dim, once more for the chosen one, and the curves by steps.

    Under `chosen/` the runs of an experiment have the same names, whichever candidate won.
    """
    from mlflow.entities import Metric

    measured = {"seconds": fitted.seconds}
    for score in fitted.report.candidates:
        measured[f"{_word(score.candidate)}/agreement"] = score.agreement
    for figure in figures:
        part = "" if figure.stratum is None else f"strata/{_word(figure.stratum)}/"
        of = f"{figure.metric.replace('@', '_at_')}/{figure.dim}"
        measured[f"{part}{_word(figure.candidate)}/{of}"] = figure.value
        if figure.candidate == fitted.adaptor.config["candidate"]:
            measured[f"{part}chosen/{of}"] = figure.value
    metrics = [Metric(name, float(value), now, 0) for name, value in measured.items()]
    trainings = fitted.report.training.runs if fitted.report.training else []
    for number, training in enumerate(trainings, 1):  # one candidate may be trained twice
        curve = f"training/{number}_{REFUSED.sub('_', training.name)}"
        for point in training.curve:
            for of in ("loss", "score"):
                if (value := point[of]) is not None:
                    metrics.append(Metric(f"{curve}/{of}", value, now, int(point["step"] or 0)))
    return metrics


def _word(text: str) -> str:
    """Text as a part of a name; what MLflow refuses is left out, and a hash keeps the name its own."""
    word = REFUSED.sub("_", text)[:LONGEST_WORD]
    return word if word and word == text else f"{word}_{sha256(text.encode()).hexdigest()[:8]}"


def _log_folder(client: MlflowClient, run: str, path: str) -> None:
    """The files of a folder on any file system; MLflow takes them from this machine."""
    fs, folder = open_folder(path)
    if is_local(fs):
        client.log_artifacts(run, folder, FOLDER)
        return
    with tempfile.TemporaryDirectory() as here:
        for file in fs.find(folder):
            copy = Path(here, str(file).removeprefix(folder).lstrip("/"))
            copy.parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(file, str(copy))
        client.log_artifacts(run, here, FOLDER)


def _why(error: BaseException) -> str:
    """What an error says; of one that came of the network's or a disk's, what that says."""
    first = error
    while first.__context__ is not None:
        first = first.__context__
    return cause(first if isinstance(first, OSError) else error)


def _without_password(text: str) -> str:
    """Text without the users and passwords that addresses in it may hold."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


@contextmanager
def _environment() -> Iterator[None]:
    """`ENVIRONMENT`, where the user's own does not say otherwise; MLflow takes these settings from there alone."""
    ours = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


@contextmanager
def _silence() -> Iterator[None]:
    """No lines of MLflow's, nor of retries: what comes of them all is said by one line."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "urllib3.connectionpool")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
