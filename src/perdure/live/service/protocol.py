"""Predictions: the Open Inference Protocol v2, and MLflow's `/ping` and `/invocations`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import pydantic_core
from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel

from perdure import __version__
from perdure.live.refusals import NotFound, RowRefused
from perdure.live.service import payloads, questions
from perdure.live.service.answering import Answer
from perdure.live.service.payloads import InferRequest, Invocation
from perdure.live.service.questions import Question
from perdure.live.service.refusing import Failure, InferenceFailure, refusals
from perdure.live.service.security import Direct, Guarded
from perdure.live.service.service import Service, service_of

BODIES: Final[tuple[type[BaseModel], ...]] = (InferRequest, Invocation)
HEADER_LENGTH: Final = "inference-header-content-length"
Here = Annotated[Service, Depends(service_of)]
Number = Annotated[str, Path(pattern=r"^[0-9]{1,18}$")]

VERSION_HEADER: Final = {
    "X-Model-Version": {"schema": {"type": "string"}, "description": "The version that answered."}
}


router = APIRouter(route_class=Guarded, tags=["inference"], responses=refusals(InferenceFailure))
mlflow = APIRouter(route_class=Guarded, tags=["inference"], responses=refusals(Failure))
direct = APIRouter(route_class=Direct, tags=["inference"])


# -- how things stand ----------------------------------------------------------------------------


@router.get("/v2/health/live")
async def live() -> payloads.Live:
    """The process answers."""
    return payloads.Live(live=True)


@router.get("/v2/health/ready", responses={503: {"model": payloads.Ready}})
async def ready(service: Here, response: Response) -> payloads.Ready:
    """Predictions are answered; 503 until a version serves."""
    serves = service.server.champion is not None
    response.status_code = 200 if serves else 503
    return payloads.Ready(ready=serves)


@mlflow.get("/ping", responses={503: {"model": payloads.Ready}})
async def ping(service: Here, response: Response) -> payloads.Ready:
    """The same, for MLflow's clients."""
    return await ready(service, response)


@mlflow.get("/version")
async def version() -> payloads.Version:
    """The release of perdure."""
    return payloads.Version(version=__version__)


@router.get("/v2")
async def server(service: Here) -> payloads.ServerMetadata:
    """What the server is."""
    extensions = ["binary_tensor_data", "model_repository"]
    return payloads.ServerMetadata(
        name="perdure",
        version=__version__,
        extensions=extensions,
        model=service.project.settings.name,
    )


@router.get("/v2/models/{model}")
async def model_(service: Here, model: str) -> payloads.ModelMetadata:
    """What the model takes and gives."""
    service.check_model(model)
    held = [one.version for one in service.project.registry.all() if one.state != "removed"]
    return _metadata(service, held)


@router.get("/v2/models/{model}/versions/{version}")
async def model_version(service: Here, model: str, version: Number) -> payloads.ModelMetadata:
    """What a version takes and gives."""
    service.check_model(model)
    return _metadata(service, [service.project.registry.get(int(version)).version])


@router.get("/v2/models/{model}/ready", responses={503: {"model": payloads.ModelReady}})
async def model_ready(service: Here, model: str, response: Response) -> payloads.ModelReady:
    """Whether the champion answers."""
    service.check_model(model)
    serves = service.server.champion is not None
    response.status_code = 200 if serves else 503
    return payloads.ModelReady(name=model, ready=serves)


@router.get(
    "/v2/models/{model}/versions/{version}/ready",
    responses={503: {"model": payloads.ModelReady}},
)
async def version_ready(
    service: Here, model: str, version: Number, response: Response
) -> payloads.ModelReady:
    """Whether a version would answer; where it is not in memory, the first question loads it."""
    service.check_model(model)
    held = service.project.registry.get(int(version))
    serves = held.state != "removed" and held.version not in service.server.failures
    response.status_code = 200 if serves else 503
    return payloads.ModelReady(name=model, ready=serves)


def _metadata(service: Service, versions: list[int]) -> payloads.ModelMetadata:
    champion = service.server.champion
    width = -1 if champion is None else len(champion.classes)
    outputs = [("probabilities", "FP32", [-1, width]), ("label", "BYTES", [-1]),
               ("prediction_id", "BYTES", [-1]), ("classes", "BYTES", [width])]  # fmt: skip
    return payloads.ModelMetadata(
        name=service.project.settings.name,
        versions=[str(number) for number in versions],
        platform="perdure",
        inputs=questions.metadata(service.project.schema),
        outputs=[
            payloads.TensorMetadata.model_validate({"name": n, "datatype": d, "shape": s})
            for n, d, s in outputs
        ],
    )


# -- the repository ------------------------------------------------------------------------------


@router.post("/v2/repository/index")
async def index(
    service: Here, said: payloads.IndexRequest | None = None
) -> list[payloads.IndexEntry]:
    """The versions, and which of them are in memory."""
    loaded = service.server.loaded()
    held = [
        payloads.IndexEntry(
            name=service.project.settings.name,
            version=str(one.version),
            state="READY" if one.version in loaded else "UNAVAILABLE",
            reason=service.server.failures.get(one.version, ""),
        )
        for one in service.project.registry.all()
        if one.state != "removed"
    ]
    return [one for one in held if one.state == "READY" or said is None or not said.ready]


@router.post("/v2/repository/models/{model}/load")
async def load(
    service: Here, model: str, said: payloads.LoadRequest | None = None
) -> payloads.Loaded:
    """Load a version beside what serves; without one, switch to the registry's champion now."""
    service.check_model(model)
    number = None if said is None else (said.parameters or {}).get("version")
    served = await service.server.load(number)
    return payloads.Loaded(name=model, version=str(served.version))


# -- predictions ---------------------------------------------------------------------------------

_INFER: Final[dict[str, Any]] = {
    "response_model": payloads.InferAnswer,
    "responses": {
        **refusals(InferenceFailure),
        200: {"headers": VERSION_HEADER},
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}}
            },
        },
    },
}


@direct.post("/v2/models/{model}/infer", **_INFER)
async def infer(request: Request, model: str) -> Response:
    """Answer rows, each with a prediction id under which its label may come later."""
    return await _infer(request, model, None)


@direct.post("/v2/models/{model}/versions/{version}/infer", **_INFER)
async def infer_version(request: Request, model: str, version: Number) -> Response:
    """The same by one version, whoever serves."""
    return await _infer(request, model, version)


@direct.post(
    "/invocations",
    response_model=payloads.Predictions,
    responses={**refusals(Failure), 200: {"headers": VERSION_HEADER}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Invocation"}}
            },
        },
    },
)
async def invocations(request: Request) -> Response:
    """Answer rows as MLflow's clients send them."""
    said = Invocation.model_validate_json(await request.body())
    service = service_of(request)
    question = questions.from_invocation(service.project.schema, said)
    answer = await service.answering.answer(question, request.state.caller.name)
    body = {
        "predictions": answer.labels(),
        "probabilities": answer.probabilities.tolist(),
        "classes": answer.classes,
        "prediction_ids": answer.ids,
        "version": answer.version,
    }
    return _response(body, answer)


async def _infer(request: Request, model: str, version: str | None) -> Response:
    service = service_of(request)
    service.check_model(model)
    number = None
    if version is not None:
        if not version.isdigit() or len(version) > 18:
            raise NotFound("versions have numbers", field="version", value=version)
        number = int(version)
    question, said = await _asked(request, service)
    answer = await service.answering.answer(question, request.state.caller.name, number)
    wanted = None if said.outputs is None else {output.name for output in said.outputs}
    body = {
        "model_name": model,
        "model_version": str(answer.version),
        "id": said.id or request.state.request_id,
        "outputs": [
            tensor for tensor in _outputs(answer) if wanted is None or tensor["name"] in wanted
        ],
    }
    return _response(body, answer)


async def _asked(request: Request, service: Service) -> tuple[Question, InferRequest]:
    body = await request.body()
    length = request.headers.get(HEADER_LENGTH)
    binary = b""
    if length is not None:
        if not length.isdigit() or int(length) > len(body):
            raise RowRefused(
                f"give the bytes of the JSON part, at most {len(body)}",
                field=HEADER_LENGTH,
                value=length,
            )
        body, binary = body[: int(length)], body[int(length) :]
    said = InferRequest.model_validate_json(body)
    return questions.from_infer(service.project.schema, said, binary), said


def _outputs(answer: Answer) -> list[dict[str, Any]]:
    rows, classes = answer.probabilities.shape
    return [
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": [rows, classes],
            "data": answer.probabilities.ravel().tolist(),
        },
        {"name": "label", "datatype": "BYTES", "shape": [rows], "data": answer.labels()},
        {"name": "prediction_id", "datatype": "BYTES", "shape": [rows], "data": answer.ids},
        {"name": "classes", "datatype": "BYTES", "shape": [classes], "data": answer.classes},
    ]


def _response(body: dict[str, Any], answer: Answer) -> Response:
    headers = {"X-Model-Version": str(answer.version)}
    return Response(pydantic_core.to_json(body), 200, headers, media_type="application/json")
