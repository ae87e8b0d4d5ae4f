"""The registry of models. An implementation is an `nn.Module` from images to logits.

If it has a method `constrain`, training calls it after each step.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from epsigma.kinds import Count, Hyperparameters, Kind

Dropped = Annotated[float, Field(ge=0, lt=1)]
_PLAIN = (int, float, str, bool, type(None), list, dict)


def _check_plain(value: Any) -> Any:
    if not isinstance(value, _PLAIN):
        raise PydanticCustomError(
            "said", "{shown} is not of type number or string or boolean or null or array or object"
        )
    return value


Plain = Annotated[Any, AfterValidator(_check_plain)]
Keyword = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*\Z")]
Parameters = Annotated[dict[Keyword, Plain], WithJsonSchema({"type": "object"})]


class MLP(Hyperparameters):
    hidden: Count = Field(64, description="width of the hidden layer")


class Maxout(Hyperparameters):
    units: Count = Field(240, description="width of each of the two maxout layers")
    pieces: Count = Field(5, description="affine functions of which a unit takes the largest")
    dropout_input: Dropped = Field(
        0.2, description="share of the pixels that a step of training drops"
    )
    dropout_hidden: Dropped = Field(
        0.5, description="share of each maxout layer's units that a step of training drops"
    )
    max_norm: Annotated[float, Field(gt=0)] = Field(
        1.9365, description="largest ℓ2 norm of a weight vector"
    )


class CNN(Hyperparameters):
    channels: Count = Field(
        16, description="channels of the first convolution; the second has twice as many"
    )
    hidden: Count = Field(128, description="width of the hidden linear layer")


class ResNet(Hyperparameters):
    width: Count = Field(
        16, description="channels of the first of the four stages; ResNet-18 has 64"
    )
    blocks: Count = Field(2, description="residual blocks of a stage; ResNet-18 has 2")


class Factory(Hyperparameters):
    factory: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z")] = (
        Field(
            description="a function of the user's own, as package.module:function, that takes an "
            "image's shape (C, H, W), the number of classes and `parameters` by keyword, and "
            "returns an nn.Module from images (N, C, H, W) in [0, 1] to logits (N, K); found in "
            "the working directory, else on Python's path",
            examples=["package.module:function"],
        )
    )
    parameters: Parameters = Field(
        {}, description="what the function takes beside shape and classes, by keyword"
    )


class Zoo(Hyperparameters):
    library: Literal["torchvision", "timm", "efficientnet_lite_pytorch"] = Field(
        description="which library makes the network; what is not installed, install"
    )
    architecture: Annotated[str, Field(min_length=1)] = Field(
        description="its name there, such as `resnet18`", examples=["resnet18"]
    )
    parameters: Parameters = Field(
        {}, description="what the library takes beside the number of classes, by keyword"
    )


MODELS = {
    "mlp": Kind("epsigma.models.mlp:MLP", MLP),
    "softmax": Kind("epsigma.models.softmax:Softmax"),
    "maxout": Kind("epsigma.models.maxout:Maxout", Maxout),
    "cnn": Kind("epsigma.models.cnn:CNN", CNN),
    "resnet": Kind("epsigma.models.resnet:ResNet", ResNet),
    "factory": Kind("epsigma.models.factory:make", Factory),
    "zoo": Kind("epsigma.models.zoo:make", Zoo),
}
