"""Settings as data: one small file for each agent, data set and world."""

from kgrl.presets.preset import Preset, preset, preset_names

__all__ = ["Preset", "preset", "preset_names"]
