"""One YAML file a situation, as typed, validated sections."""

from adaptor.config.evaluating import (
    Evaluate,
    GateSettings,
    MonitorSettings,
    Rates,
    RecommendSettings,
    ReportSettings,
    TrackingSettings,
)
from adaptor.config.jobs import SAME, Apply, ArtifactSettings, Config, QueryLog, SampleSettings, Source, WorkersSettings
from adaptor.config.loading import load_config, load_configs
from adaptor.errors import ConfigError

__all__ = [
    "SAME",
    "Apply",
    "ArtifactSettings",
    "Config",
    "ConfigError",
    "Evaluate",
    "GateSettings",
    "MonitorSettings",
    "QueryLog",
    "Rates",
    "RecommendSettings",
    "ReportSettings",
    "SampleSettings",
    "Source",
    "TrackingSettings",
    "WorkersSettings",
    "load_config",
    "load_configs",
]
