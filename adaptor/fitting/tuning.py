"""A search for settings of the training, by Optuna: what agrees most with the full width, no labels needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adaptor.errors import AdaptorError
from adaptor.fitting.candidates import Maker
from adaptor.fitting.judge import Standard
from adaptor.fitting.report import TuningReport
from adaptor.fitting.settings import FitSettings, QueryTraining, Training
from adaptor.maps import Sides
from adaptor.metrics import geometric_mean
from adaptor.vectors import Float32

if TYPE_CHECKING:
    import optuna

Params = dict[str, float]
"""Names of fields of `Training` or `QueryTraining`, and their values."""

SPACE = {"learning_rate": 8, "temperature": 4, "pull": 8, "neighbours": 3}
QUERY_SPACE = {"learning_rate": 8, "temperature": 4, "near": 4, "random": 2}
"""What is searched: from the setting divided by this factor to the setting times it, evenly in logarithms."""


@dataclass(frozen=True)
class Experiment:
    """All that a trial needs, wherever it runs: who makes candidates, from what, and by what they are measured."""

    maker: Maker
    standard: Standard
    batches_per_step: int  # what the workers of the fit would take, where the settings leave it to them

    @property
    def rows(self) -> Float32:
        """The rows to train on, `(n, D)`."""
        return self.maker.fold.rows

    @property
    def training(self) -> Training | QueryTraining:
        """What is tuned: training on queries where there are any, else on the corpus alone."""
        settings = self.maker.settings
        return settings.training if self.maker.queries is None else settings.query_training

    def with_params(self, params: Params) -> FitSettings:
        """The settings with `params` in place of what they said."""
        part = "training" if self.maker.queries is None else "query_training"
        return replace(self.maker.settings, **{part: replace(self.training, **params)})  # type: ignore[arg-type]

    def trained(self, params: Params) -> Sides:
        """The maps that training with `params` ends with, stopped early by the judge.

        One thread, however many there are: then a trial is the same on any number of cores.
        """
        shared = {"batches_per_step": self.training.batches_per_step or self.batches_per_step}
        settings = self.with_params({**shared, **params})
        with one_thread():
            return replace(self.maker, settings=settings).make("trained", self.standard).sides

    def score(self, params: Params) -> float:
        """What the judge sees kept, over dims."""
        with one_thread():
            return geometric_mean(self.standard.judge.kept(self.trained(params), self.rows))


RunTrials = Callable[[Sequence[Params]], list[float]]
"""The scores of some trials, in their order."""

Trials = Callable[[Experiment], AbstractContextManager[RunTrials]]
"""Where trials run."""


@contextmanager
def in_turn(experiment: Experiment) -> Iterator[RunTrials]:
    """Trials one after the other, in this process."""
    yield lambda some: [experiment.score(params) for params in some]


@dataclass(frozen=True)
class Tuned:
    """What a search found: its trials, that of the settings as given first."""

    experiment: Experiment
    trials: list[tuple[Params, float]]

    @property
    def best(self) -> int:
        """The number of the best trial, the first of equals; 0 where nothing beat the settings as given."""
        return max(range(len(self.trials)), key=lambda number: self.trials[number][1])

    @property
    def params(self) -> Params:
        """The values of the best trial."""
        return self.trials[self.best][0]

    @property
    def settings(self) -> FitSettings:
        """The fit's settings with the values of the best trial."""
        return self.experiment.with_params(self.params)

    @property
    def sentence(self) -> str:
        """For people: what was tried, on what, and what came of it."""
        judge, (first, score) = self.experiment.standard.judge, (self.trials[0][1], self.trials[self.best][1])
        rows = f"{len(judge.rows)} held-out {'queries' if judge.side == 'query' else 'rows'} of their own"
        tried = f"{len(self.trials)} trials on {rows}, agreement {first:.4f} with the settings as given"
        return f"{tried}, {score:.4f} with {describe_params(self.params)}" if self.best else f"{tried}, none above"

    @property
    def report(self) -> TuningReport:
        """For the fit's report."""
        trials = [{"params": params, "agreement": score} for params, score in self.trials]
        return TuningReport(self.sentence, self.best, trials)


def describe_params(params: Params) -> str:
    """Values for people, such as `learning_rate 0.0042, neighbours 5`."""
    return ", ".join(f"{name} {value:.3g}" for name, value in params.items())


def search(experiment: Experiment, run: RunTrials) -> Tuned:
    """Try `settings.tuning.trials` times, the settings as given first, and then what Optuna suggests.

    Each round of `at_once` trials is suggested from the scores of the rounds before it, so the
    same seed gives the same trials wherever and in whatever order they run. Raises `AdaptorError`
    when Optuna is missing.
    """
    optuna = require_optuna()
    said = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=experiment.maker.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    optuna.logging.set_verbosity(said)
    study.enqueue_trial(params_of(experiment.training))
    tuning, trials = experiment.maker.settings.tuning, list[tuple[Params, float]]()
    while len(trials) < tuning.trials:
        drawn = [study.ask() for _ in range(min(tuning.at_once, tuning.trials - len(trials)))]
        params = [suggested(trial, experiment.training) for trial in drawn]
        scores = run(params)
        for trial, score in zip(drawn, scores):
            study.tell(trial, score)
        trials += zip(params, scores)
    return Tuned(experiment, trials)


def params_of(training: Training | QueryTraining) -> Params:
    """What `training` says of all that is searched; a weight of 0 stays 0."""
    space = SPACE if isinstance(training, Training) else QUERY_SPACE
    return {name: getattr(training, name) for name in space if getattr(training, name)}


def suggested(trial: optuna.Trial, training: Training | QueryTraining) -> Params:
    """The values of one trial, around those of `training`."""
    space = SPACE if isinstance(training, Training) else QUERY_SPACE
    params: Params = {}
    for name, value in params_of(training).items():
        low, high = value / space[name], value * space[name]
        if isinstance(value, int):
            params[name] = trial.suggest_int(name, max(1, round(low)), int(high), log=True)
        else:
            params[name] = trial.suggest_float(name, low, high, log=True)
    return params


def require_optuna() -> Any:
    """Optuna, or a sentence."""
    try:
        import optuna
        import threadpoolctl  # noqa: F401
    except ImportError as error:
        raise AdaptorError(
            f"fit.tune needs {error.name}, which is not installed; pip install 'matryoshka-adaptor[tune]', "
            "or set fit.tune=false"
        ) from error
    return optuna


@contextmanager
def one_thread() -> Iterator[None]:
    """NumPy and torch on one thread each."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
