"""The registry of filters.

An implementation is an `epsigma.filters.filter.Filter`, made from its hyper-parameters by keyword,
that of a random kind also from `generator`.
"""

from epsigma.kinds import FilterKind
from epsigma.registry.filter_hyperparameters import (
    JPEG,
    PCA,
    BandPass,
    Bilateral,
    BitDepth,
    Box,
    Crop,
    Gaussian,
    GaussianNoise,
    HighPass,
    KMeans,
    LowPass,
    LowRank,
    Median,
    Morphology,
    NonlocalMeans,
    PixelDeflection,
    Reformer,
    ResizePad,
    Shield,
    Thermometer,
    TotalVariation,
    TotalVariationDropout,
    UnsharpMask,
    Wavelet,
    Wiener,
)

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
    "pca": FilterKind(
        "epsigma.filters.pca:PCA",
        PCA,
        swept="components",
        gradient="exact",
        autoencoder="autoencoder",
    ),
    "box": FilterKind(
        "epsigma.filters.box:Box",
        Box,
        swept="radius",
        gradient="exact",
        identity_parameters={"radius": 0},
    ),
    "bilateral": FilterKind(
        "epsigma.filters.bilateral:Bilateral",
        Bilateral,
        swept="sigma_color",
        gradient="exact",
        identity_parameters={"sigma_color": 0.000001},
    ),
    "nonlocal_means": FilterKind(
        "epsigma.filters.nonlocal_means:NonlocalMeans",
        NonlocalMeans,
        swept="strength",
        gradient="bpda",
    ),
    "total_variation": FilterKind(
        "epsigma.filters.total_variation:TotalVariation",
        TotalVariation,
        swept="weight",
        gradient="exact",
        identity_parameters={"weight": 0.000001},
    ),
    "total_variation_dropout": FilterKind(
        "epsigma.filters.total_variation_dropout:TotalVariationDropout",
        TotalVariationDropout,
        swept="weight",
        gradient="bpda",
        random=True,
        identity_parameters={"weight": 0.000001, "keep": 1},
    ),
    "wavelet": FilterKind(
        "epsigma.filters.wavelet:Wavelet",
        Wavelet,
        swept="noise",
        gradient="exact",
        identity_parameters={"noise": 0.000001, "method": "visu"},
    ),
    "pixel_deflection": FilterKind(
        "epsigma.filters.pixel_deflection:PixelDeflection",
        PixelDeflection,
        swept="share",
        gradient="exact",
        random=True,
        identity_parameters={"share": 0},
    ),
    "wiener": FilterKind(
        "epsigma.filters.wiener:Wiener",
        Wiener,
        swept="radius",
        gradient="exact",
        identity_parameters={"radius": 0},
    ),
    "thermometer": FilterKind(
        "epsigma.filters.quantisation:Thermometer",
        Thermometer,
        swept="levels",
        gradient="bpda",
        identity_parameters={"levels": 2**18},
    ),
    "kmeans": FilterKind(
        "epsigma.filters.quantisation:KMeans", KMeans, swept="levels", gradient="bpda"
    ),
    **{
        name: FilterKind(
            f"epsigma.filters.morphology:{name.title()}",
            Morphology,
            swept="radius",
            gradient="bpda",
            identity_parameters={"radius": 0},
        )
        for name in ("opening", "closing")
    },
    "unsharp_mask": FilterKind(
        "epsigma.filters.unsharp:UnsharpMask",
        UnsharpMask,
        swept="amount",
        gradient="bpda",
        identity_parameters={"amount": 0.000001},
    ),
    "equalize": FilterKind("epsigma.filters.equalization:HistogramEqualization", gradient="bpda"),
    "resize_pad": FilterKind(
        "epsigma.filters.resampling:RandomResizePad",
        ResizePad,
        swept="smallest",
        gradient="exact",
        random=True,
        identity_parameters={"smallest": 1},
    ),
    "random_crop": FilterKind(
        "epsigma.filters.resampling:RandomCrop",
        Crop,
        swept="share",
        gradient="exact",
        random=True,
        identity_parameters={"share": 1},
    ),
    "shield": FilterKind(
        "epsigma.filters.shield:Shield", Shield, swept="lowest", gradient="bpda", random=True
    ),
    "low_rank": FilterKind(
        "epsigma.filters.low_rank:LowRank",
        LowRank,
        swept="rank",
        gradient="bpda",
        random=True,
        identity_parameters={"rank": 10000, "keep": 1},
    ),
}
