"""Worlds to recommend in: feedback models, users who leave and tastes that drift, the batched simulator, its bounds."""

from kgrl.rating_scale import normalise
from kgrl.simulator.bounds import Bounds
from kgrl.simulator.categories import Categories, item_categories
from kgrl.simulator.feedback import FeedbackModel, Reaction
from kgrl.simulator.feedback_models import PlantedFeedback, RatedFeedback
from kgrl.simulator.past import Past
from kgrl.simulator.predicted import PredictedFeedback
from kgrl.simulator.simulator import Simulator
from kgrl.simulator.users import Boredom, Drift, Leaving, Patience, Satiation

__all__ = ["Boredom", "Bounds", "Categories", "Drift", "FeedbackModel", "Leaving", "Past", "Patience",
           "PlantedFeedback", "PredictedFeedback", "RatedFeedback", "Reaction", "Satiation", "Simulator",
           "item_categories", "normalise"]
