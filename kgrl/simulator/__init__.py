"""Worlds to recommend in: feedback models, the batched simulator, and its bounds."""

from kgrl.rating_scale import normalise
from kgrl.simulator.bounds import Bounds
from kgrl.simulator.feedback import FeedbackModel, Reaction
from kgrl.simulator.past import Past
from kgrl.simulator.planted import PlantedFeedback
from kgrl.simulator.predicted import PredictedFeedback
from kgrl.simulator.rated import RatedFeedback
from kgrl.simulator.simulator import Simulator

__all__ = ["Bounds", "FeedbackModel", "Past", "PlantedFeedback", "PredictedFeedback", "RatedFeedback", "Reaction",
           "Simulator", "normalise"]
