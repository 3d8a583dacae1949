"""Feedback models by name, class or instance."""

from __future__ import annotations

from collections.abc import Callable

from torch_geometric.data import HeteroData

from kgrl.objects import a_data_set
from kgrl.options import expected, resolve
from kgrl.simulator.feedback import FeedbackModel
from kgrl.simulator.planted import PlantedFeedback
from kgrl.simulator.predicted import PredictedFeedback
from kgrl.simulator.rated import RatedFeedback

FEEDBACK_MODELS: dict[str, Callable[..., FeedbackModel]] = {
    "predicted": PredictedFeedback.fit, "rated": RatedFeedback, "planted": PlantedFeedback,
}
"""``"predicted"``: KGQR's world, everybody's feedback on everything by matrix factorization; ``"rated"``: TPGR's, the
logged ratings; ``"planted"``: tastes that the KG explains."""


def made_feedback(feedback: str | type[FeedbackModel] | FeedbackModel, data: HeteroData | None) -> FeedbackModel:
    """The feedback model.

    Args:
        feedback: a name among :data:`FEEDBACK_MODELS`; a class, made by its ``fit(data)`` where it has one, else by
            calling it with ``data``; or an instance.
        data: what a name or a class is made of.

    Raises:
        TypeError: ``feedback`` is none of these, or ``data`` no data set.
        ValueError: an unknown name, ``data`` beside an instance, or a name or a class without.
    """
    if isinstance(feedback, FeedbackModel):
        if data is not None:
            raise ValueError(expected("data", "left out beside an instance of a feedback model", type(data).__name__))
        return feedback
    hint = "e.g. Simulator(PredictedFeedback.fit(data)), or Simulator('predicted', data=data)"
    if not (isinstance(feedback, str) or (isinstance(feedback, type) and issubclass(feedback, FeedbackModel))):
        raise TypeError(expected("feedback", "a FeedbackModel, the name or the class of one", feedback, hint))
    if data is None:
        raise ValueError(expected("data", "given beside the name or class of a feedback model", None, hint))
    known = a_data_set("data", data)
    if isinstance(feedback, str):
        return resolve("feedback", feedback, FEEDBACK_MODELS, FeedbackModel, data=known)
    make: Callable[..., FeedbackModel] = getattr(feedback, "fit", feedback)
    return make(known)
