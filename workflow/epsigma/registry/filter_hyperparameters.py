"""The hyper-parameters of the filters: a class for each kind of the registry."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from epsigma.kinds import Count, Hyperparameters

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Radius = Annotated[int, Field(ge=1, le=15)]


def _is_odd(side: int) -> int:
    if side % 2 == 0:
        raise PydanticCustomError("said", "{shown} is even; a window has a pixel in the middle")
    return side


Odd = Annotated[int, Field(ge=1, le=31), AfterValidator(_is_odd)]
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


class PCA(Hyperparameters):
    autoencoder: str = Field(description="name of an autoencoder of the study, of the kind pca")
    components: Count = Field(description="directions that an image is projected on")


class Box(Hyperparameters):
    radius: Radius = Field(description="pixels on each side of the window's centre")
    border: Border = _border()


class Bilateral(Hyperparameters):
    sigma_color: Positive = Field(
        description="standard deviation of the weight over the difference of colours, in units of "
        "the pixel range"
    )
    sigma_space: Positive = Field(
        1.5, description="standard deviation of the weight over the distance, in pixels"
    )
    radius: Radius = Field(2, description="pixels on each side of the window's centre")
    border: Border = _border()


class NonlocalMeans(Hyperparameters):
    strength: Positive = Field(
        description="h, the root mean square by which alike patches differ, in grey levels of 255"
    )
    search: Odd = Field(11, description="side of the search window in pixels, odd")
    patch: Odd = Field(3, description="side of a patch in pixels, odd")


class TotalVariation(Hyperparameters):
    weight: Annotated[float, Field(gt=0, le=1)] = Field(
        description="weight of the total variation against half the squared distance"
    )


class TotalVariationDropout(Hyperparameters):
    weight: Annotated[float, Field(gt=0, le=0.5)] = Field(
        description="weight of the total variation against the distance from what is kept"
    )
    keep: Share = Field(0.5, description="probability of a value to be kept")


class Wavelet(Hyperparameters):
    noise: Positive = Field(
        description="standard deviation of the noise that goes, in units of the pixel range"
    )
    method: Literal["bayes", "visu"] = Field(
        "bayes",
        description="how thresholds are chosen: BayesShrink, a band's own, or VisuShrink, one for "
        "all",
    )
    wavelet: Literal["db1", "db2", "db4", "sym4", "coif1"] = Field(
        "db1", description="as PyWavelets calls it; `db1` is Haar's"
    )


class PixelDeflection(Hyperparameters):
    share: Share = Field(description="share of the pixels that are replaced")
    radius: Radius = Field(5, description="pixels on each side of the window's centre")


class Wiener(Hyperparameters):
    radius: Radius = Field(description="pixels on each side of the window's centre")
    border: Border = _border()


class Thermometer(Hyperparameters):
    levels: Annotated[int, Field(ge=2, le=4096)] = Field(description="levels of the code")


class KMeans(Hyperparameters):
    levels: Annotated[int, Field(ge=2, le=256)] = Field(description="clusters of each channel")


class Morphology(Hyperparameters):
    radius: Radius = Field(description="pixels on each side of the window's centre")


class UnsharpMask(Hyperparameters):
    amount: Positive = Field(description="how much of what smoothing takes away is added")
    sigma: Positive = Field(1, description="standard deviation of the Gaussian, in pixels")


class ResizePad(Hyperparameters):
    smallest: Share = Field(description="the smallest size, as a share of the image's")


class Crop(Hyperparameters):
    share: Share = Field(description="side of the crop, as a share of the image's")
    crops: Count = Field(1, description="crops that are averaged")


class Shield(Hyperparameters):
    lowest: Annotated[int, Field(ge=1, le=40)] = Field(
        description="the lowest of four qualities, which are 20 apart; 20 in the paper"
    )


class LowRank(Hyperparameters):
    rank: Count = Field(description="singular values of each channel that stay")
    keep: Share = Field(0.5, description="probability of a pixel to be kept")
