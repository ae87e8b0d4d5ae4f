"""The registry of filters.

An implementation is an `epsigma.filters.filter.Filter`, made from its hyper-parameters by keyword,
that of a random kind also from `generator`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from epsigma.kinds import Count, FilterKind, Hyperparameters

Positive = Annotated[float, Field(gt=0)]
Border = Literal["reflect", "replicate", "constant", "circular"]


def _border() -> Any:
    return Field("reflect", description="how the image goes on beyond its border")


def _cutoff(of: str) -> Any:
    return Field(
        gt=0,
        le=0.7072,
        description=f"{of}, in cycles per pixel (0.5 is the Nyquist frequency of an axis, "
        "0.7071 the highest there is, on the diagonal)",
    )


def _dc(default: str) -> Any:
    return Field(default, description="what is done with the mean of each channel of an image")


class Gaussian(Hyperparameters):
    sigma: Positive = Field(description="standard deviation of the kernel, in pixels")
    truncate: Positive = Field(
        4,
        description="radius of the kernel in standard deviations, rounded up to whole pixels and "
        "capped at the image's side - 1",
    )
    border: Border = _border()


class _Response(Hyperparameters):
    shape: Literal["ideal", "gaussian", "butterworth"] = Field(
        "ideal",
        description="how the response falls off; at the cutoff (or the band's edges) the smooth "
        "shapes are at half amplitude",
    )
    order: Count = Field(
        2, description="order of the Butterworth response; the other shapes ignore it"
    )
    dc: Literal["drop", "keep"] = _dc("drop")
    post: Literal["none", "clip", "rescale"] = Field(
        "none",
        description="what is done with values outside [0, 1]: nothing, clipping, or an affine map "
        "of each image's range to [0, 1]",
    )


class LowPass(_Response):
    cutoff: float = _cutoff("the highest frequency that passes")
    dc: Literal["drop", "keep"] = _dc("keep")


class HighPass(_Response):
    cutoff: float = _cutoff("the highest frequency that is stopped")


class BandPass(_Response):
    cutoff: float = _cutoff("centre of the band")
    width: Annotated[float, Field(gt=0, le=1.4143)] = Field(
        0.1, description="width of the band, in cycles per pixel"
    )


class BitDepth(Hyperparameters):
    bits: Annotated[int, Field(ge=1, le=12)] = Field(description="bits that are kept of each value")


class JPEG(Hyperparameters):
    quality: Annotated[int, Field(ge=1, le=100)] = Field(
        description="quality of the compression, as libjpeg scales it"
    )


class Median(Hyperparameters):
    size: Annotated[int, Field(ge=2, le=11)] = Field(description="side of the window in pixels")
    border: Border = _border()


class GaussianNoise(Hyperparameters):
    std: Positive = Field(
        description="standard deviation of the noise, in units of the pixel range"
    )


class Reformer(Hyperparameters):
    autoencoder: str = Field(description="name of an autoencoder of the study")
    passes: Count = Field(description="how often an image passes it")


_IDENTITY_RESPONSE = {"dc": "keep", "shape": "ideal", "post": "none"}

FILTERS = {
    "none": FilterKind("epsigma.filters.none:Identity", gradient="exact"),
    "identity": FilterKind("epsigma.filters.none:Identity", gradient="exact"),
    "gaussian": FilterKind(
        "epsigma.filters.gaussian:Gaussian",
        Gaussian,
        swept="sigma",
        gradient="exact",
        identity_parameters={"sigma": 0.01},
    ),
    "lowpass": FilterKind(
        "epsigma.filters.frequency:LowPass",
        LowPass,
        swept="cutoff",
        gradient="exact",
        identity_parameters={"cutoff": 0.7072, **_IDENTITY_RESPONSE},
    ),
    "highpass": FilterKind(
        "epsigma.filters.frequency:HighPass",
        HighPass,
        swept="cutoff",
        gradient="exact",
        identity_parameters={"cutoff": 0.000001, **_IDENTITY_RESPONSE},
    ),
    "bandpass": FilterKind(
        "epsigma.filters.frequency:BandPass",
        BandPass,
        swept="cutoff",
        gradient="exact",
        identity_parameters={"cutoff": 0.3536, "width": 1, **_IDENTITY_RESPONSE},
    ),
    "bitdepth": FilterKind(
        "epsigma.filters.bitdepth:BitDepth",
        BitDepth,
        swept="bits",
        gradient="bpda",
        identity_parameters={"bits": 16},
    ),
    "jpeg": FilterKind("epsigma.filters.jpeg:Jpeg", JPEG, swept="quality", gradient="bpda"),
    "median": FilterKind(
        "epsigma.filters.median:Median",
        Median,
        swept="size",
        gradient="bpda",
        identity_parameters={"size": 1},
    ),
    "noise": FilterKind(
        "epsigma.filters.noise:GaussianNoise",
        GaussianNoise,
        swept="std",
        gradient="exact",
        random=True,
        identity_parameters={"std": 0.000001},
    ),
    "reformer": FilterKind(
        "epsigma.filters.reformer:Reformer",
        Reformer,
        swept="passes",
        gradient="exact",
        autoencoder="autoencoder",
    ),
}
