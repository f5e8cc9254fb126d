"""The app on Ray Serve, where ingress and model scale apart, on one machine or many."""

from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from .answers import Answer, Clip, Responder
from .http import create_app
from .places import Busy, Places
from .queues import Gone
from .settings import Settings
from .work import Estimate

MIN_REPLICAS = 1  # of the model; each takes a core
MAX_REPLICAS = 64
AT_ONCE = 8  # clips of one batch that are on their way together


class Replicas:
    """Runs the model in other processes, which Ray Serve starts, finds and feeds."""

    def __init__(self, model: DeploymentHandle, max_wait: float):
        self.model = model
        self.places = Places(max_wait)  # what a clip costs is not known here
        self.n_lost = 0
        self.at_once = AT_ONCE

    async def about(self) -> dict[str, Any]:
        """Say which model answers."""
        return await self.model.about.remote()

    async def answer(self, clip: Clip, size: Estimate, gone: Gone) -> Answer:
        """Classify a clip; if the replica is lost on the way, ask another one, once."""
        try:
            return await self._twice(clip, size.seconds)
        except BackPressureError:
            raise Busy(self.places.max_wait) from None

    def close(self) -> None:
        """Leave the replicas to Ray Serve."""

    async def _twice(self, clip: Clip, limit: float) -> Answer:
        try:
            return await self.model.answer.remote(clip, limit)
        except (RayActorError, ReplicaUnavailableError):
            self.n_lost += 1
            return await self.model.answer.remote(clip, limit)


class Replica:
    """One model on one core."""

    def __init__(self, settings: Settings):
        self.responder = Responder.load(settings)

    def about(self) -> dict[str, Any]:
        """Say which model answers."""
        return self.responder.about()

    def answer(self, clip: Clip, limit: float) -> Answer:
        """Classify a clip of at most so many seconds."""
        return self.responder.answer(clip, limit)


class Ingress:
    """The app, which asks the model's replicas.

    Streams are heard in children of its process, on cores that Ray does not know of.
    """

    def __init__(self, model: DeploymentHandle, settings: Settings):
        self.model = model
        self.settings = settings

    def __serve_build_asgi_app__(self) -> FastAPI:  # noqa: D105 -- Ray Serve calls it so
        return create_app(self._queue, self.settings)

    def _queue(self) -> Replicas:
        return Replicas(self.model, self.settings.max_wait)


def application(arguments: dict[str, str]) -> serve.Application:
    """Build what `serve run` starts.

    `arguments` may hold `min_replicas` and `max_replicas` of the model. Raises `UserError` for a
    setting that cannot be used.
    """
    settings = Settings.from_environment()
    low = int(arguments.get("min_replicas", MIN_REPLICAS))
    high = int(arguments.get("max_replicas", MAX_REPLICAS))
    model = serve.deployment(
        Replica,
        name="Model",
        ray_actor_options={"num_cpus": 1},
        max_ongoing_requests=4,  # one is computed, the others are on their way
        max_queued_requests=500,  # for each ingress; more get 503
        autoscaling_config=_scale(low, high, load=2),
    )
    ingress = serve.deployment(
        serve.ingress()(Ingress),
        name="Ingress",
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=1000,
        autoscaling_config=_scale(1, high, load=500),
    )
    return ingress.bind(model.bind(settings), settings)


def _scale(low: int, high: int, load: int) -> dict[str, int]:
    """Between how many replicas, and above which load of each another one is started."""
    return {"min_replicas": low, "max_replicas": high, "target_ongoing_requests": load}
